// Reads what the package exports from its published declarations, with TypeScript's compiler.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { SyntaxKind } from 'typescript/unstable/ast'
import { API, SymbolFlags } from 'typescript/unstable/sync'

const PROJECT = 'target/api/tsconfig.json'

const KINDS = new Map([
  [SyntaxKind.ClassDeclaration, 'class'],
  [SyntaxKind.FunctionDeclaration, 'function'],
  [SyntaxKind.InterfaceDeclaration, 'interface'],
  [SyntaxKind.TypeAliasDeclaration, 'type'],
  [SyntaxKind.VariableDeclaration, 'constant'],
])
const HIDDEN = [SyntaxKind.PrivateKeyword, SyntaxKind.ProtectedKeyword]

/**
 * Returns the exports of each entry: `{ name, entry, kind, doc, nodes, members, properties, place }`.
 *
 * `place` identifies the declaration: two entries may export the same. `members` are the public
 * members of a class, by name; `properties` the properties of an interface, inherited ones included.
 */
export function readEntries(root) {
  const { exports } = JSON.parse(readFileSync(resolve(root, 'package.json'), 'utf8'))
  const files = Object.entries(exports).flatMap(([entry, { types }]) =>
    types === undefined ? [] : [[entry.slice(2), resolve(root, types)]],
  )
  const project = openProject(
    root,
    files.map(([, file]) => file),
  )
  const entries = new Map(files.map(([entry, file]) => [entry, exportsOf(project, entry, file)]))
  addInherited(project, entries)
  return entries
}

/**
 * Adds the public members that classes inherit from classes that the package does not export, except
 * those of the exported interfaces that such a class implements.
 */
function addInherited({ checker, ...project }, entries) {
  const all = [...entries.values()].flatMap(exports => [...exports.values()])
  const exported = new Set(all.map(({ place }) => place))
  for (const { symbol, members, name: owner, entry } of all.filter(
    ({ kind }) => kind === 'class',
  )) {
    const type = checker.getDeclaredTypeOfSymbol(symbol)
    for (const property of checker.getPropertiesOfType(type)) {
      const node = property.declarations?.[0]?.resolve({ checker, ...project })
      if (node === undefined || !isOurs(node) || isHidden(node)) continue
      // The base of the emitters has the methods of Node's EventEmitter.
      const isKnown = exported.has(placeOf(node.parent)) || fileOf(node).endsWith('/emitter.d.ts')
      const name = node.name.getText()
      if (isKnown || members.has(name) || implementedBy(node.parent, entries.get(entry), name))
        continue
      members.set(name, { name, kind: 'member', owner, doc: docOf([node]), nodes: [node] })
    }
  }
}

function openProject(root, files) {
  const config = resolve(root, PROJECT)
  mkdirSync(resolve(config, '..'), { recursive: true })
  const settings = {
    extends: resolve(root, 'tsconfig.json'),
    compilerOptions: { noEmit: true, rootDir: root },
    include: [],
    files,
  }
  writeFileSync(config, JSON.stringify(settings))
  // The compiler runs as a process of its own, and ends with this one.
  const api = new API({ cwd: root })
  return api.updateSnapshot({ openProjects: [config] }).getProject(config)
}

function exportsOf(project, entry, file) {
  const { program, checker } = project
  const module = checker.getSymbolAtLocation(program.getSourceFile(file))
  return new Map(
    checker.getExportsOfModule(module).map(exported => {
      const symbol =
        exported.flags & SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported
      const nodes = symbol.declarations.map(handle => handle.resolve(project))
      const kind = KINDS.get(nodes[0].kind)
      if (kind === undefined) throw new Error(`${entry}: what is ${exported.name}?`)
      const place = placeOf(nodes[0])
      const doc = docOf(nodes)
      const members = kind === 'class' ? membersOf(nodes[0]) : undefined
      const properties = kind === 'interface' ? propertiesOf(project, symbol) : undefined
      const found = {
        name: exported.name,
        entry,
        kind,
        doc,
        nodes,
        members,
        properties,
        place,
        symbol,
      }
      return [exported.name, found]
    }),
  )
}

/** Returns the public members of a class that it declares itself. */
function membersOf(node) {
  const members = new Map()
  for (const member of node.members) {
    if (isHidden(member)) continue
    const isConstructor = member.kind === SyntaxKind.Constructor
    const name = isConstructor ? 'constructor' : member.name.getText()
    const nodes = [...(members.get(name)?.nodes ?? []), member]
    members.set(name, { name, kind: 'member', owner: node.name.text, doc: docOf(nodes), nodes })
  }
  return members
}

function propertiesOf(project, symbol) {
  const { checker } = project
  const type = checker.getDeclaredTypeOfSymbol(symbol)
  return checker
    .getPropertiesOfType(type)
    .map(property => ({ symbol: property, node: property.declarations?.[0]?.resolve(project) }))
    .filter(({ node }) => node !== undefined && isOurs(node))
    .map(({ symbol, node }) => ({
      name: node.name.getText(),
      isOptional: (symbol.flags & SymbolFlags.Optional) !== 0,
      doc: docOf([node]),
      node,
    }))
}

function isHidden({ modifiers = [], name }) {
  return modifiers.some(({ kind }) => HIDDEN.includes(kind)) || name?.getText().startsWith('#')
}

/** Whether a class has a member because of an exported interface. */
function implementedBy({ heritageClauses = [] }, exports, member) {
  const clauses = heritageClauses.filter(({ token }) => token === SyntaxKind.ImplementsKeyword)
  const names = clauses.flatMap(({ types }) => types.map(type => type.expression.getText()))
  return names.some(name => exports.get(name)?.properties?.some(one => one.name === member))
}

/** Whether a declaration is fdwire's, not Node's. */
function isOurs(node) {
  return !fileOf(node).includes('/node_modules/')
}

const fileOf = node => node.getSourceFile().fileName
const placeOf = node => `${fileOf(node)}:${node.pos}`

/** Returns the doc comment of the first of some declarations that has one, with links as code. */
function docOf(nodes) {
  const comments = nodes.map(node => {
    const whole = node.kind === SyntaxKind.VariableDeclaration ? node.parent.parent : node
    const before = whole.getFullText().slice(0, -whole.getText().length)
    return /\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\s*$/.exec(before)?.[1] ?? ''
  })
  const comment = comments.find(text => text !== '') ?? ''
  const text = comment.replace(/^\s*\* ?/gm, '').trim()
  return text.replace(/\{@link ([^}]*)\}/g, (_, name) => `\`${name.replace(/\s+/g, ' ')}\``)
}
