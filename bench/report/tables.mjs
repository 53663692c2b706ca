// @ts-check
/** The tables of `docs/performance.md`, and the sentence of the README. */

import { readFileSync } from 'node:fs'
import { COLUMNS } from '../columns.mjs'
import { isMet } from '../summary.mjs'
import { figure, ratio, versionOf } from './find.mjs'

/**
 * @typedef {import('./find.mjs').Results} Results
 * @typedef {import('../results.mjs').Measured} Measured
 * @typedef {import('../summary.mjs').RatioSummary} RatioSummary
 */

/** @type {(scenario: Measured) => boolean} */
const isOneWayStream = ({ group, work }) => group === 'streams' && work === 'oneway'

/**
 * The tables of ratios: which scenarios, and which of their ratios.
 * @type {{ [name: string]: [(scenario: Measured) => boolean, (ratio: RatioSummary) => boolean] }}
 */
const RATIOS = {
  'best-js': [isOneWayStream, ({ to }) => to?.startsWith('best JS') === true],
  'send-all': [isOneWayStream, ({ of, to }) => of.includes('sendAll') && isOf('fdwire', to)],
  usual: [isOneWayStream, ({ to }) => isOf('usual JS', to) || isOf('child_process', to)],
  descriptors: [({ group }) => group === 'descriptors', ({ of }) => isOf('fdwire', of)],
  datagrams: [({ group, work }) => group === 'datagrams' && work === 'oneway', () => true],
  trips: [
    ({ group, work }) => ['datagrams', 'streams'].includes(group) && work === 'trips',
    () => true,
  ],
  latency: [({ group }) => group === 'latency', () => true],
  lone: [({ work }) => work === 'lone', ({ to }) => to !== undefined],
  many: [({ group }) => group === 'many', () => true],
  connections: [({ group }) => group === 'connections', () => true],
  dispatch: [({ group }) => group === 'dispatch', () => true],
}

/** @param {string} contender @param {string | undefined} name */
function isOf(contender, name) {
  return name?.startsWith(contender) === true
}

/**
 * Returns the generated text of a name in a document.
 * @param {string} name
 * @param {Results[]} results
 */
export function textOf(name, results) {
  if (name === 'machine') return machineText(results)
  if (name === 'sentence') return sentence(results)
  if (name === 'all') return allFigures(results)
  if (name === 'instructions') return instructions()
  const [scenarios, ratios] = RATIOS[name] ?? []
  if (!scenarios || !ratios) throw new Error(`No table is called ${name}`)
  return ratioTable(results, scenarios, ratios)
}

/**
 * @param {Results[]} results
 * @param {(scenario: Measured) => boolean} isChosen
 * @param {(ratio: RatioSummary) => boolean} isShown
 */
function ratioTable(results, isChosen, isShown) {
  const scenarios = unique(results).filter(isChosen)
  const versions = results.map(versionOf)
  const head = [
    'scenario',
    'fdwire, and what it is compared with',
    ...versions.map(version => `${version}: ${unitOf(scenarios)}`),
    ...versions.map(version => `${version}: ratio`),
    'to reach',
  ]
  const rows = scenarios.flatMap(scenario =>
    scenario.ratios.filter(isShown).map(({ of, to, target }) => {
      const { title, work } = scenario
      const [{ key, show }] = COLUMNS[work]
      const shown = (/** @type {Results} */ one, /** @type {string} */ name) => {
        const median = figure(one, title, name, key)
        return median === undefined ? '–' : show(median)
      }
      return [
        shortTitle(title),
        `${of} / ${to}`,
        ...results.map(one => `${shown(one, of)} / ${shown(one, to ?? '')}`),
        ...results.map(one => ratioText(ratio(one, title, of, to))),
        target.least ? `≥ ${target.least}` : target.most ? `≤ ${target.most}` : '',
      ]
    }),
  )
  return markdown(head, 2, rows)
}

/** A ratio with its quartiles, in bold if it meets its target. @param {RatioSummary | undefined} one */
function ratioText(one) {
  if (!one) return '–'
  const { median, q1, q3 } = one.ratio
  const text = isMet(one) ? `**${digits(median)}**` : digits(median)
  return `${text} (${digits(q1)}–${digits(q3)})`
}

/** Every figure of one-way streams, with the CPU time. @param {Results[]} results */
function allFigures(results) {
  const head = ['scenario', 'contender']
  for (const one of results) {
    const version = versionOf(one)
    head.push(`${version}: 1,000 messages/s`, `${version}: CPU, ns`)
  }
  const rows = unique(results)
    .filter(isOneWayStream)
    .flatMap(({ title, runs, work }) =>
      runs.map(({ name }) => [
        shortTitle(title),
        name,
        ...results.flatMap(one =>
          COLUMNS[work].map(({ key, show }) => {
            const median = figure(one, title, name, key)
            return median === undefined ? '–' : show(median)
          }),
        ),
      ]),
    )
  return markdown(head, 2, rows)
}

/** The instructions of the codecs' loops; `bench/instructions.mjs` counts them. */
function instructions() {
  const file = new URL('../loops/instructions.json', import.meta.url)
  /** @type {{ [loop: string]: number }} */
  const counts = JSON.parse(readFileSync(file, 'utf8')).counts
  const protocols = new Set(Object.keys(counts).map(loop => loop.split(' ')[0]))
  const loops = ['decode 64', 'decode 1024', 'encode 64', 'encode 1024']
  const rows = [...protocols].map(protocol => [
    `\`${protocol}\``,
    ...loops.map(loop => counts[`${protocol} ${loop}`]?.toFixed(0) ?? '–'),
  ])
  return markdown(['instructions a message', ...loops.map(loop => `${loop} B`)], 1, rows)
}

/** @param {Results[]} results */
function machineText(results) {
  const [{ machine }] = /** @type {[Results]} */ (results)
  const { cpu, cores, linux, rust, maxDgramQlen } = machine
  const all = results.flatMap(({ scenarios }) => scenarios)
  const rounds = all.flatMap(({ runs }) => runs.map(run => run.rounds)).filter(n => n > 0)
  const disturbed = sum(all.map(one => one.disturbed))
  const dates = [...new Set(all.map(({ date }) => date))].sort()
  const commits = [...new Set(all.map(({ commit }) => commit))].sort()
  return [
    `Machine: ${cpu}, ${cores} cores, Linux ${linux}, Rust ${rust}, net.unix.max_dgram_qlen ${maxDgramQlen};`,
    `Node ${results.map(({ node }) => node.slice(1)).join(', ')}.`,
    `Measured on ${dates.join(', ')} at ${commits.length > 1 ? 'commits' : 'commit'}`,
    `${commits.map(commit => `\`${commit}\``).join(', ')}, ${range(rounds)} rounds.`,
    `Other processes used more than 0.2 cores during ${disturbed} of the ${sum(rounds)} runs.`,
  ].join('\n')
}

/** @param {Results[]} results */
function sentence(results) {
  const title = '64 B over a stream, one way'
  const one = /** @type {Results} */ (results.at(-1))
  const times = (/** @type {string} */ of, /** @type {string} */ to) => {
    const found = ratio(one, title, of, to)
    return found ? digits(found.ratio.median) : '–'
  }
  const million = (/** @type {string} */ name) =>
    ((figure(one, title, name, 'rate') ?? 0) / 1e6).toFixed(1)
  return [
    `Over a Unix stream with ${versionOf(one)}, fdwire passes ${million('fdwire text')} million texts of 64 bytes a second:`,
    `${times('fdwire text', 'usual JS text')} times as many as the usual JavaScript over \`node:net\`, ${times('fdwire text', 'child_process text')} times as many as`,
    `\`child_process\`, and ${times('fdwire text', 'best JS text')} times as many as the best JavaScript that we could write by hand. With JSON`,
    `these factors are ${times('fdwire JSON', 'usual JS JSON')}, ${times('fdwire JSON', 'child_process JSON')} and ${times('fdwire JSON', 'best JS JSON')}.`,
    similarPackages(results),
  ].join('\n')
}

/**
 * Returns the sentence about the packages that pass descriptors or datagrams, of the newest version of
 * Node on which they could be built.
 * @param {Results[]} results
 */
function similarPackages(results) {
  const [fds, datagrams] = ['44 B + 1 fd, one way', '64 B, one way']
  const one = results.findLast(one => figure(one, fds, 'usocket JSON stream', 'rate') !== undefined)
  if (one === undefined) throw new Error('There are no results of usocket')
  const times = (/** @type {string} */ title, /** @type {string} */ of, /** @type {string} */ to) =>
    digits(ratio(one, title, of, to)?.ratio.median ?? Number.NaN)
  return [
    `With ${versionOf(one)}, it passes ${times(fds, 'fdwire JSON stream', 'usocket JSON stream')} times as many messages with a descriptor as \`usocket\`, and`,
    `${times(datagrams, 'fdwire Buffer path', 'unix-dgram Buffer path')} times as many datagrams as \`unix-dgram\`.`,
  ].join('\n')
}

/** @param {number[]} numbers */
function sum(numbers) {
  return numbers.reduce((total, number) => total + number, 0)
}

/** @param {number[]} numbers */
function range(numbers) {
  const [least, most] = [Math.min(...numbers), Math.max(...numbers)]
  return least === most ? String(least) : `${least} to ${most}`
}

/** The scenarios of all versions, each once. @param {Results[]} results */
function unique(results) {
  const all = new Map(results.flatMap(({ scenarios }) => scenarios.map(one => [one.title, one])))
  return [...all.values()]
}

/** @param {Measured[]} scenarios */
function unitOf(scenarios) {
  const units = new Set(scenarios.map(({ work }) => COLUMNS[work][0].unit))
  return units.size === 1 ? [...units].join() : 'figures'
}

/** @param {string} title */
function shortTitle(title) {
  return title.replace(/ over a stream, one way$|, one way$/, '')
}

/** @param {number} number */
function digits(number) {
  return number.toFixed(number < 10 ? 2 : number < 100 ? 1 : 0)
}

/** @param {string[]} head @param {number} left columns @param {string[][]} rows */
export function markdown(head, left, rows) {
  const line = (/** @type {string[]} */ cells) => `| ${cells.join(' | ')} |`
  const rule = head.map((_, i) => (i < left ? '---' : '---:'))
  return [line(head), line(rule), ...rows.map(line)].join('\n')
}
