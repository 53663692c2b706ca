// JSON with the same bytes as Python's json.dumps(…, sort_keys=True, separators=(',', ':')).

/** Returns JSON with sorted keys, in which all characters beyond ASCII are escaped. */
export function toJson(value) {
  const text = JSON.stringify(value, (_key, part) => (isPlain(part) ? sorted(part) : part))
  return text.replace(/[\u0080-\uffff]/g, escapeOf)
}

const isPlain = part => typeof part === 'object' && part !== null && !Array.isArray(part)

const sorted = part =>
  Object.fromEntries(
    Object.keys(part)
      .sort()
      .map(key => [key, part[key]]),
  )

const escapeOf = unit => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`
