// @ts-check
/** The tables of `docs/reliability.md`, from the results of what has run. */

import { readdirSync, readFileSync } from 'node:fs'
import { markdown } from './tables.mjs'

/**
 * @typedef {object} Sample of the soak: what the server held, in bytes and descriptors
 * @property {number} second
 * @property {number} rss
 * @property {number} heapUsed
 * @property {number} external
 * @property {number} fds
 *
 * @typedef {object} Result
 * @property {string} name of its file
 * @property {string} title
 * @property {string} command
 * @property {string} date
 * @property {string} commit
 * @property {string} node
 * @property {number} seconds
 * @property {number} cases
 * @property {number} executions
 * @property {number} [kills]
 * @property {{ [name: string]: any }} figures
 * @property {Sample[]} [samples]
 *
 * @typedef {object} Finding
 * @property {string} by the name of a result
 * @property {string} fault
 * @property {string} test
 */

const folder = new URL('../../stress/results/', import.meta.url)

/** @returns {Result[]} */
function readResults() {
  return readdirSync(folder)
    .filter(file => file.endsWith('.json'))
    .sort()
    .map(file => ({ name: file.replace('.json', ''), ...readJson(new URL(file, folder)) }))
}

/** @returns {Result} */
export function readSoak() {
  return readJson(new URL('soak.json', folder))
}

/** @param {URL} file */
function readJson(file) {
  return JSON.parse(readFileSync(file, 'utf8'))
}

/** Returns the generated text of a name in the page. @param {string} name */
export function reliabilityText(name) {
  if (name === 'table') return table()
  if (name === 'findings') return findings()
  if (name === 'soak') return soak()
  if (name === 'fuzz') return fuzz()
  if (name === 'model') return model()
  if (name === 'memory') return memory()
  if (name === 'errnos') return errnos()
  throw new Error(`No table is called ${name}`)
}

function table() {
  const found = readFindings()
  const head = ['what', 'command', 'cases', 'executions', 'kills', 'time', 'faults found']
  const rows = readResults().map(one => [
    one.title,
    `\`${one.command}\``,
    ...[one.cases, one.executions, one.kills].map(shown),
    duration(one.seconds),
    shown(found.filter(({ by }) => by === one.name).length),
  ])
  return markdown(head, 2, rows)
}

/** @returns {Finding[]} */
function readFindings() {
  return readJson(new URL('../findings.json', folder))
}

function findings() {
  const lines = readFindings().map(({ fault, test }) => `- ${fault} Test: \`${test}\`.`)
  return lines.length > 0 ? lines.join('\n') : 'None so far.'
}

function soak() {
  const { seconds, date, commit, node, figures } = readSoak()
  const { messages, sent, descriptors, connections, kills, grown } = figures
  return [
    `Measured on ${date} at commit \`${commit}\`, Node ${node.slice(1)}: ${duration(seconds)},`,
    `${shown(messages)} messages received and ${shown(sent)} sent by the server, ${shown(descriptors)} descriptors received,`,
    `${shown(connections)} connections, ${kills} processes killed. From the second third of the time to the last, the`,
    `median of the heap and external memory changed by ${kibibytes(grown.heap)}, of the resident set by ${kibibytes(grown.rss)}, and of the`,
    `number of descriptors by ${grown.fds}. After the end exactly the descriptors of the beginning were open.`,
  ].join('\n')
}

function fuzz() {
  const results = readJson(new URL('../../fuzz/results.json', import.meta.url))
  const head = ['target', 'executions', 'CPU time', 'edges', 'inputs', 'failures', 'measured']
  const rows = Object.entries(results).map(([target, one]) => [
    `\`${target}\``,
    shown(one.executions),
    duration(one.cpuSeconds),
    ...[one.edges, one.inputs, one.failures].map(shown),
    `${one.date}, \`${one.commit}\``,
  ])
  return markdown(head, 1, rows)
}

function model() {
  const folder = new URL('../../__test__/support/model/', import.meta.url)
  const { date, runs, operations, messages, descriptors } = readJson(
    new URL('results.json', folder),
  )
  return `On ${date}: ${shown(runs)} sequences of ${shown(operations)} operations in all, which sent ${shown(messages)} messages and ${shown(descriptors)} descriptors.`
}

function memory() {
  const results = readJson(new URL('../../scripts/memory/results.json', import.meta.url))
  const rows = Object.entries(results).map(([name, one]) => [
    {
      asan: `AddressSanitizer, ${shown(one.tests)} tests of vitest`,
      miri: `Miri, ${shown(one.tests)} tests of the crates`,
      valgrind: 'valgrind, Node with the addon',
    }[name],
    `\`npm run test:memory -- --only ${name}\``,
    duration(one.seconds),
    shown(one.errors),
    `${one.date}, \`${one.commit}\``,
  ])
  return markdown(['what', 'command', 'time', 'errors', 'measured'], 2, rows)
}

function errnos() {
  const results = readJson(new URL('../../fuzz/errnos.json', import.meta.url))
  const { date, commit, seconds, complete, ended, refused, cases } = results
  const rows = Object.entries(cases).map(([call, errors]) => [
    `\`${call}\``,
    Object.keys(errors).join(', '),
    shown(Object.values(errors).reduce((sum, count) => sum + count)),
  ])
  const pairs = Object.values(cases).reduce((sum, errors) => sum + Object.keys(errors).length, 0)
  const about = [
    `On ${date} at commit \`${commit}\`, ${shown(complete + ended + refused)} cases of ${pairs} pairs of a call and an error, in`,
    `${duration(seconds)}: ${shown(complete)} completed, ${shown(ended)} reported the error, and ${shown(refused)} refused a message, a path or a`,
    'connection without it.',
  ]
  return [...about, '', markdown(['call', 'errors', 'cases'], 2, rows)].join('\n')
}

/** @param {number} bytes */
const kibibytes = bytes => `${Math.round(bytes / 1024).toLocaleString('en-US')} KiB`

/** @param {number | undefined} number */
const shown = number => number?.toLocaleString('en-US') ?? ''

/** @param {number} seconds */
const duration = seconds =>
  seconds < 90 ? `${Math.ceil(seconds)} s` : `${Math.round(seconds / 60)} min`
