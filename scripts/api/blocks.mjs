// The generated blocks of the reference. A block begins with `<!-- api:KIND ARGUMENTS -->` and ends
// with `<!-- api:end -->`.
import {
  describeOption,
  describeProperty,
  groupBy,
  OPENERS,
  OPTIONS,
  optionsOfFunction,
} from './options.mjs'
import {
  cell,
  code,
  fence,
  firstSentence,
  headingOf,
  memberTitle,
  splitDoc,
  table,
  typeTitle,
} from './text.mjs'

/** The longest comment of a member that stands in a table (characters). */
const LONGEST_CELL = 180

const OPTION_COLUMNS = ['Option', 'Type', 'Default', 'Description']

/** The options of each function. */
const OPTION_TYPES = {
  bind: 'BindOptions',
  connect: 'ConnectOptions',
  listen: 'ListenOptions',
  pair: 'ChannelOptions',
  adopt: 'AdoptOptions',
  over: 'OverOptions',
  Codec: 'CodecOptions',
}

/** Renders the blocks of pages, and remembers where each export and member is described. */
export class Blocks {
  #entries
  /** By the place of a declaration, or `place.member`: `{ page, anchor, title }`. */
  places = new Map()
  /** By the name of an option: `{ page, anchor, title }` of its table. */
  optionPlaces = new Map()
  #options = new Map()
  #aliases = new Map()

  constructor(entries) {
    this.#entries = entries
    const main = entries.get('')
    for (const type of Object.values(OPTION_TYPES)) {
      for (const property of main.get(type).properties) this.#options.set(property.name, property)
    }
    for (const { node } of this.#options.values()) this.#learnAliases(node)
  }

  /** Records what a block describes. Returns the names that it names. */
  place(kind, args, where) {
    if (kind === 'option-table') {
      for (const name of args) if (!this.optionPlaces.has(name)) this.optionPlaces.set(name, where)
      return
    }
    if (kind === 'options-of') {
      this.#put(this.#find(OPTION_TYPES[args[0]]), where)
      return
    }
    if (kind === 'exports') return
    for (const name of named(kind, args) ?? this.#constants(args))
      this.#put(this.#find(name), where)
  }

  /** Returns the content of a block. */
  render(kind, args, page, level) {
    switch (kind) {
      case 'signature':
        return fence(...args.map(name => this.#find(name)))
      case 'doc':
        return args.map(name => this.#doc(this.#find(name), page)).join('\n\n')
      case 'members':
        return this.#members(args, page, level)
      case 'functions':
        return this.#functions(args, page)
      case 'options':
        return this.#optionsOfInterfaces(args, page)
      case 'properties':
        return this.#properties(args, page)
      case 'events':
        return this.#events(args, page)
      case 'types':
        return this.#types(args, page)
      case 'constants':
        return this.#constantTable(args, page)
      case 'option-table':
        return this.#optionTable(args, page)
      case 'options-of':
        return this.#optionsOf(args[0], page)
      case 'exports':
        return this.#exports(args[0] ?? '', page)
      default:
        throw new Error(`${page}: unknown block api:${kind}`)
    }
  }

  /** Returns the exports, members and properties without a doc comment. */
  undocumented() {
    return [...this.#entries.values()].flatMap(exports =>
      [...exports.values()].flatMap(({ entry, name, doc, members, properties }) => {
        const parts = [...(members?.values() ?? []), ...(properties ?? [])]
        const bare = parts.filter(part => part.doc === '').map(part => `${name}.${part.name}`)
        return [...(doc === '' ? [name] : []), ...bare].map(one => `${entry}/${one}`)
      }),
    )
  }

  /** Returns the exports, members and options that no block describes. */
  missing() {
    const names = []
    for (const [entry, exports] of this.#entries) {
      for (const one of exports.values()) {
        const name = entry === '' ? one.name : `${entry}/${one.name}`
        if (!this.places.has(one.place)) names.push(name)
        for (const member of one.members?.keys() ?? []) {
          if (!this.places.has(`${one.place}.${member}`)) names.push(`${name}.${member}`)
        }
      }
    }
    const options = Object.keys(OPTIONS).filter(name => !this.optionPlaces.has(name))
    return [...names, ...options.map(name => `the option ${name}`)]
  }

  /** Places the members of each class with a table that are not described elsewhere. */
  placeRest(name, where) {
    const found = this.#find(name)
    for (const member of found.members.keys()) {
      const key = `${found.place}.${member}`
      if (!this.places.has(key)) this.places.set(key, { ...where, rest: true })
    }
  }

  /** Returns an export, `entry/export`, or a member, `export.member`. */
  #find(name) {
    const [, entry = '', exported, member] = /^(?:(\w+)\/)?(\w+)(?:\.(.+))?$/.exec(name) ?? []
    const found = this.#entries.get(entry)?.get(exported)
    if (found === undefined) throw new Error(`There is no export ${name}`)
    if (member === undefined) return found
    const one = found.members?.get(member)
    if (one === undefined) throw new Error(`There is no member ${name}`)
    return { ...one, place: `${found.place}.${member}` }
  }

  #put(found, where) {
    if (!this.places.has(found.place)) this.places.set(found.place, where)
  }

  #doc(found, page) {
    const { text, errors } = splitDoc(found.doc, page)
    const own = found.kind === 'class' ? '' : `${fence(found)}\n\n`
    return `${own}${text}${errors === '' ? '' : `\n\n**Errors:** ${errors}`}`
  }

  /** Returns a table of the members with a short comment, and a section for each other one. */
  #members([name, ...names], page, level) {
    const found = this.#find(name)
    const isRest = ([member]) => this.places.get(`${found.place}.${member}`)?.rest === true
    const some =
      names.length > 0
        ? names.map(member => this.#find(`${name}.${member}`))
        : [...found.members].filter(isRest).map(([, member]) => member)
    const cells = some.map(member => ({ member, text: cell(member.doc, page) }))
    const short = cells.filter(({ text }) => text.length <= LONGEST_CELL)
    const rows = short.map(({ member, text }) => [memberTitle(member), text])
    const sections = cells
      .filter(({ text }) => text.length > LONGEST_CELL)
      .map(
        ({ member }) =>
          `${'#'.repeat(level + 1)} ${headingOf(member)}\n\n${this.#doc(member, page)}`,
      )
    const tables = rows.length === 0 ? [] : [table(['Member', 'Description'], rows)]
    return [...tables, ...sections].join('\n\n')
  }

  #functions(names, page) {
    const some = names.map(name => this.#find(name))
    const rows = some.map(one => [
      code(fence(one).split('\n').slice(1, -1).join(' ').replace('function ', '')),
      cell(one.doc, page),
    ])
    return table(['Function', 'Description'], rows)
  }

  #optionsOfInterfaces(names, page) {
    const rows = names.flatMap(name => {
      const { properties, doc } = this.#find(name)
      return ownOptions(properties).map(property => {
        this.#learnAliases(property.node)
        const one = describeProperty(withOwnDefault(property, doc), page, this.#aliases)
        return [code(property.name), one.type, one.default, one.description]
      })
    })
    return table(OPTION_COLUMNS, rows)
  }

  #properties(names, page) {
    const { properties } = this.#find(names[0])
    const rows = properties.map(({ name, node, doc }) => [
      code(name),
      typeTitle(node),
      cell(doc, page),
    ])
    return table(['Property', 'Type', 'Description'], rows)
  }

  #events([name], page) {
    const rows = this.#find(name).properties.map(({ name: event, node, doc }) => {
      const elements = node.type.elements ?? []
      const args = elements.map(element =>
        code(
          element
            .getText()
            .replace(/\s*\n\s*/g, ' ')
            .replaceAll(';', ''),
        ),
      )
      return [code(`'${event}'`), args.join(', '), cell(doc, page)]
    })
    return table(['Event', 'Arguments', 'When'], rows)
  }

  #types(names, page) {
    const rows = names.map(name => {
      const { kind, nodes, name: own, doc } = this.#find(name)
      const [node] = nodes
      const parameters = (node.typeParameters ?? []).map(({ name: one }) => one.text).join(', ')
      const title = parameters === '' ? own : `${own}<${parameters}>`
      const shown = kind === 'type' && isReadable(node.type) ? typeTitle(node) : ''
      return [code(title), shown, cell(doc, page)]
    })
    const isShown = rows.some(([, shown]) => shown !== '')
    const head = ['Name', 'Definition', 'Description']
    const without = row => row.filter((_, index) => isShown || index !== 1)
    return table(without(head), rows.map(without))
  }

  #constants([start, ...names]) {
    const [entry, ...prefixes] = [start.split('/')[0], start.split('/')[1], ...names]
    const all = [...this.#entries.get(entry).values()].filter(({ kind }) => kind === 'constant')
    return prefixes.flatMap(prefix =>
      all.filter(({ name }) => name.startsWith(prefix)).map(({ name }) => `${entry}/${name}`),
    )
  }

  #constantTable(args, page) {
    const rows = this.#constants(args).map(name => {
      const found = this.#find(name)
      const text = found.nodes[0].getText()
      const value = /= (.*)$/.exec(text)?.[1] ?? text.replace(/^\w+: /, '')
      return [code(found.name), code(value), cell(found.doc, page)]
    })
    return table(['Constant', 'Value', 'Description'], rows)
  }

  #optionTable(names, page) {
    const rows = names.map(name => {
      const property = this.#options.get(name)
      if (property === undefined) throw new Error(`${page}: there is no option ${name}`)
      const one = describeOption(property, page, this.#aliases)
      return [code(name), one.type, one.default, one.description]
    })
    return table(OPTION_COLUMNS, rows)
  }

  #optionsOf(opener, page) {
    if (!OPENERS.includes(opener)) throw new Error(`${page}: ${opener} makes no channel`)
    const groups = groupBy(optionsOfFunction(opener), name => this.optionPlaces.get(name))
    const rows = [...groups].map(([where, names]) => [
      `[${where?.title}](${relative(page, where)})`,
      names.map(code).join(', '),
    ])
    return table(['Group', `Options of \`${opener}\``], rows)
  }

  #exports(entry, page) {
    const rows = [...this.#entries.get(entry).values()].map(({ name, kind, doc, place }) => {
      const where = this.places.get(place)
      const first = firstSentence(splitDoc(doc, page).text)
      const link = where === undefined ? code(name) : `[${code(name)}](${relative(page, where)})`
      return [link, kind, cell(first, page)]
    })
    return table(['Export', 'Kind', 'Description'], rows)
  }

  /** Learns the text of the types that an option's type names and the package does not export. */
  #learnAliases(node) {
    const file = node.getSourceFile()
    for (const statement of file.statements) {
      const name = statement.name?.text
      if (name === undefined || statement.type === undefined) continue
      if ([...this.#entries.get('').values()].some(one => one.name === name)) continue
      const text = statement.type.getText()
      const values = /^\(typeof (\w+)\)\[number\]$/.exec(text)?.[1]
      const list = new RegExp(`${values}: readonly \\[([^\\]]*)\\]`).exec(file.text)?.[1]
      this.#aliases.set(name, list?.replaceAll(', ', ' | ') ?? text)
    }
  }
}

/** Returns the exports and members that a block names; undefined for prefixes of constants. */
function named(kind, args) {
  if (kind === 'constants') return undefined
  const [name, ...members] = args
  if (kind === 'members' && members.length > 0) return members.map(member => `${name}.${member}`)
  return args
}

/** Whether a reader learns something from the text of a type: not if the compiler computes it. */
function isReadable(type) {
  return !/ extends | in |keyof|\bOmit<|\bPick</.test(type.getText())
}

/** Returns the options of an interface, without those of channels if it has them. */
function ownOptions(properties) {
  const isOfChannel = ({ node }) => node.getSourceFile().fileName.includes('/lib/options/')
  const hasChannelOptions = properties.some(({ name }) => name === 'maxMessage')
  return properties.filter(property => !hasChannelOptions || !isOfChannel(property))
}

/** Returns `timeout` with the default that the doc comment of its interface states. */
function withOwnDefault(property, doc) {
  const stated = /`timeout` (\([^)]*\))/.exec(doc.replace(/\s+/g, ' '))?.[1]
  if (property.name !== 'timeout' || stated === undefined) return property
  return { ...property, doc: property.doc.replace(/\([^)]*\)/, stated) }
}

/** Returns the link from a page to a place. */
function relative(page, where) {
  if (where.page === page) return `#${where.anchor}`
  const from = page.split('/').slice(0, -1)
  const to = where.page.split('/')
  while (from.length > 0 && from[0] === to[0]) {
    from.shift()
    to.shift()
  }
  return `${'../'.repeat(from.length)}${to.join('/')}#${where.anchor}`
}
