// Formats declarations and doc comments as Markdown.
import { readFileSync } from 'node:fs'
import { dirname, relative } from 'node:path'
import { SyntaxKind } from 'typescript/unstable/ast'

/** Longest line of a code block. */
const WIDTH = 74
/** What the type parameters of the option types stand for. */
const GENERIC = new Map([
  ['P', 'Protocol'],
  ['E | CustomEncodingOf<P>', 'Encoding | CustomEncoding'],
  ['TypeOf<P>', 'SocketType'],
])

/** Returns a code block with all declarations of an export or member. */
export function fence(...declared) {
  const text = declared.flatMap(({ nodes, owner }) => nodes.map(node => codeOf(node, owner)))
  return `\`\`\`ts signature\n${text.join('\n')}\n\`\`\``
}

/** Returns a declaration in the style of the documents. */
function codeOf(node, owner) {
  if (node.kind === SyntaxKind.TypeAliasDeclaration && node.type.parameters !== undefined) {
    const generics = (node.typeParameters ?? []).map(lines).join(', ')
    const head = `type ${node.name.text}${generics === '' ? '' : `<${generics}>`}`
    return `${head} = ${signature('', node.type, ' => ')}`
  }
  if (node.parameters === undefined) {
    const flat = oneLine(node)
    const isAlias = node.kind === SyntaxKind.TypeAliasDeclaration
    return isAlias && flat.length <= WIDTH ? flat : wrapped(lines(node))
  }
  const isFunction = node.kind === SyntaxKind.FunctionDeclaration
  const isStatic = node.modifiers?.some(({ kind }) => kind === SyntaxKind.StaticKeyword)
  const prefix = isFunction ? 'function ' : isStatic ? `${owner}.` : ''
  const name = node.name === undefined ? `new ${owner}` : `${prefix}${node.name.getText()}`
  return signature(name, node, ': ')
}

/** Breaks the long line of a union before its members. */
function wrapped(text) {
  if (text.length <= WIDTH || text.includes('\n')) return text
  const [head, ...members] = text.split(/ = | \| /)
  const rows = ['']
  for (const member of members) {
    if (rows.at(-1).length + member.length > WIDTH - 6) rows.push('')
    rows[rows.length - 1] += `${rows.at(-1) === '' ? '' : ' '}| ${member}`
  }
  return `${head} =\n${rows.map(row => `  ${row}`).join('\n')}`
}

/** Returns a signature, with a line for each parameter if it is long. */
function signature(name, { typeParameters = [], parameters, type }, arrow) {
  const result = type === undefined ? '' : `${arrow}${oneLine(type)}`
  const generics = typeParameters.map(lines)
  const list = parameters.map(oneLine)
  const generic = generics.length === 0 ? '' : `<${generics.join(', ')}>`
  const short = `${name}${generic}(${list.join(', ')})${result}`
  if (short.length <= WIDTH) return short
  const head = `${name}${generic}(`
  const open = head.length <= WIDTH ? head : `${name}<\n${indented(generics)}>(`
  return `${open}\n${indented(list)})${result}`
}

const indented = list => list.map(one => `  ${one},\n`).join('')

/** Returns the text of a node without comments, modifiers of exports and semicolons. */
function lines(node) {
  return node
    .getText()
    .replace(/\s*\/\*\*[\s\S]*?\*\//g, '')
    .replace(/^export (declare )?/, '')
    .replace(/;$/gm, '')
    .replace(/^ +/gm, spaces => ' '.repeat(spaces.length / 2))
}

/** Returns a member on one line, as a program writes it: `FdSet.from(fds: Iterable<number>): FdSet`. */
export function memberTitle({ nodes, owner }) {
  return nodes
    .map(node => {
      const text = oneLine(node)
      if (node.kind === SyntaxKind.Constructor) return text.replace(/^constructor/, `new ${owner}`)
      if (text.startsWith('static ')) return text.replace(/^static (readonly )?/, `${owner}.`)
      if (node.kind === SyntaxKind.GetAccessor) return text.replace(/^get (\w+)\(\)/, '$1')
      return text.replace(/^readonly /, '')
    })
    .map(code)
    .join(', ')
}

/** Returns a member as a heading: `FdSet.from(fds)`. */
export function headingOf({ nodes, owner }) {
  const [node] = nodes
  const isStatic = node.modifiers?.some(({ kind }) => kind === SyntaxKind.StaticKeyword)
  const name = node.name === undefined ? `new ${owner}` : node.name.getText()
  const parameters = node.parameters?.map(one => one.name.getText()).join(', ')
  const call =
    parameters === undefined || node.kind === SyntaxKind.GetAccessor ? '' : `(${parameters})`
  return `\`${isStatic ? `${owner}.` : ''}${name}${call}\``
}

/** Returns the first sentence of a text, which may end with a colon or semicolon. */
export function firstSentence(text) {
  const first = /^(?:[^.:;(]|\([^)]*\)|[.:;](?!\s|$))*/.exec(text)?.[0] ?? ''
  return `${first.trim()}.`
}

/** Returns the type of an option or property, without `undefined`. */
export function typeTitle(node, aliases = new Map()) {
  if (node.type === undefined || node.parameters !== undefined) {
    return code(oneLine(node).replace(/^\w+\??/, ''))
  }
  const text = oneLine(node.type).replace(/ \| undefined$/, '')
  const only = /^OnlyOf<'\w+', P, (.*)>$/.exec(text)?.[1] ?? text
  const plain = only.replace(/^\((\([^()]*\) => [^()]*)\)$/, '$1')
  return code(GENERIC.get(plain) ?? aliases.get(plain) ?? plain)
}

function oneLine(node) {
  return lines(node)
    .replace(/(?<=\{)\s*\n\s*/g, ' ')
    .replace(/\s*\n\s*(?=\})/g, ' ')
    .replace(/\s*\n\s*/g, '; ')
    .replace(/^(.*\{ .*)$/s, '$1')
}

/** Returns text as inline code in a table. */
export function code(text) {
  return `\`${text.replaceAll('|', '\\|')}\``
}

/** Splits a doc comment: its text, and the text under `# Errors`. */
export function splitDoc(doc, page) {
  // Programs of doc comments need a context; the pages have their own.
  const prose = doc.replace(/```js\n[\s\S]*?\n```\n?/g, '')
  const [text, errors = ''] = linked(prose, page).split(/\n*^# Errors\n/m)
  return { text: text.trim(), errors: errors.trim() }
}

/** Returns a doc comment as the content of a table's cell. */
export function cell(doc, page) {
  const { text, errors } = splitDoc(doc, page)
  const said = [text, errors === '' ? '' : `Errors: ${errors}`].filter(one => one !== '')
  return escaped(said.map(joinLines).join(' '))
}

export const joinLines = text => text.replace(/\s*\n\s*/g, ' ')
const escaped = text => text.replace(/\\?\|/g, '\\|')

/** Makes links of the pages that a doc comment names as `docs/page.md#anchor`. */
function linked(doc, page) {
  return doc.replace(/docs\/([\w/-]+\.md)((?:#[\w-]+)?)/g, (name, _, anchor) => {
    const [, title] = /^# (.*)$/m.exec(readFileSync(name, 'utf8')) ?? [name, name]
    const path = relative(dirname(page), name)
    return `[${title}](${path}${anchor})`
  })
}

/** Returns a table. */
export function table(head, rows) {
  const line = cells => `| ${cells.join(' | ')} |`.replace(/ {2}(?=\|)/g, ' ')
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}
