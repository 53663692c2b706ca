// @ts-check
/** The charts: which figures each shows. */

import { barChart } from './draw.mjs'
import { figure, ratio, versionOf } from './find.mjs'

/** @typedef {import('./find.mjs').Results} Results */

const ONE_WAY = '64 B over a stream, one way'
const TRIPS = '64 B over a stream, round trip on one core'
const SIZES = ['16 B', '64 B', '1 KiB', '64 KiB']

/**
 * Draws all charts, with the newest version of Node where there is one.
 * @param {Results[]} results
 * @returns {{ name: string, svg: string }[]}
 */
export function drawAll(results) {
  const newest = /** @type {Results} */ (results.at(-1))
  return [
    { name: 'speed', svg: speed(newest) },
    { name: 'best-js', svg: againstBestJs(newest) },
    { name: 'versions', svg: versions(results) },
    { name: 'descriptors', svg: descriptors(newest) },
    { name: 'round-trips', svg: roundTrips(newest) },
    { name: 'dispatch', svg: dispatch(newest) },
  ]
}

/** @param {Results} one */
function speed(one) {
  const contenders = ['fdwire', 'best JS', 'usual JS', 'child_process']
  return barChart({
    title: `Messages of 64 bytes between two processes, ${versionOf(one)}`,
    panels: [
      {
        unit: 'million messages a second: longer is better',
        categories: ['text', 'Buffer', 'JSON'],
        series: contenders.map(name => ({
          name,
          values: ['text', 'Buffer', 'JSON'].map(kind =>
            scaled(figure(one, ONE_WAY, `${name} ${kind}`, 'rate'), 1e-6),
          ),
        })),
      },
      {
        unit: 'round trip on one core, µs: shorter is better',
        categories: ['JSON'],
        series: contenders.map(name => ({
          name,
          values: [scaled(figure(one, TRIPS, `${name} JSON`, 'p50'), 1e-3)],
        })),
      },
    ],
  })
}

/** @param {Results} one */
function againstBestJs(one) {
  /** @type {[string, string, string][]} */
  const pairs = [
    ['text', 'fdwire text', 'best JS text'],
    ['Buffer', 'fdwire Buffer', 'best JS Buffer'],
    ['JSON', 'fdwire JSON', 'best JS JSON'],
    ['JSON by sendAll', 'fdwire sendAll JSON', 'best JS JSON'],
  ]
  return barChart({
    title: `Rate of fdwire, as a multiple of the best JavaScript, ${versionOf(one)}`,
    panels: [
      {
        unit: 'times the rate of best JS: above 1, fdwire is faster',
        line: 1,
        categories: SIZES,
        series: pairs.map(([name, of, to]) => ({
          name,
          values: SIZES.map(
            size => ratio(one, `${size} over a stream, one way`, of, to)?.ratio.median,
          ),
        })),
      },
    ],
  })
}

/** @param {Results[]} results */
function versions(results) {
  return barChart({
    title: 'Messages of 64 bytes over a stream, by version of Node',
    panels: ['text', 'Buffer', 'JSON'].map(kind => ({
      unit: `${kind}, million a second`,
      categories: results.map(versionOf),
      series: ['fdwire', 'best JS'].map(name => ({
        name,
        values: results.map(one => scaled(figure(one, ONE_WAY, `${name} ${kind}`, 'rate'), 1e-6)),
      })),
    })),
    note: 'Longer is better.',
  })
}

/** @param {Results} one */
function descriptors(one) {
  /** @type {[string, string][]} */
  const contenders = [
    ['raw', 'raw stream'],
    ['fdwire', 'fdwire JSON stream'],
    ['usocket', 'usocket JSON stream'],
    ['child_process', 'child_process handle'],
  ]
  const titles = ['1 fd', '4 fds', '16 fds'].map(fds => `44 B + ${fds}, one way`)
  return barChart({
    title: `JSON messages with descriptors over a stream, ${versionOf(one)}`,
    panels: [
      {
        unit: '1,000 messages a second: longer is better',
        categories: ['1 descriptor', '4 descriptors', '16 descriptors'],
        series: contenders.map(([name, run]) => ({
          name,
          values: titles.map(title => scaled(figure(one, title, run, 'rate'), 1e-3)),
        })),
      },
    ],
  })
}

/** @param {Results} one */
function roundTrips(one) {
  const [oneCore, twoCores] = ['one core', 'two cores'].map(
    cores => `64 B over a stream, busy polling on ${cores}`,
  )
  /** @type {[string, string, string][]} */
  const contenders = [
    ['raw', TRIPS, 'raw'],
    ['fdwire', TRIPS, 'fdwire JSON'],
    ['fdwire, busyPoll', String(oneCore), 'fdwire JSON, busyPoll'],
    ['best JS', TRIPS, 'best JS JSON'],
    ['usual JS', TRIPS, 'usual JS JSON'],
    ['child_process', TRIPS, 'child_process JSON'],
  ]
  return barChart({
    title: `Round trip of a message of 64 bytes, ${versionOf(one)}`,
    panels: [
      {
        unit: 'median, µs: shorter is better',
        categories: ['both processes on one core', 'on two cores'],
        series: contenders.map(([name, title, run]) => ({
          name,
          values: [title, String(twoCores)].map(from =>
            scaled(figure(one, from, run, 'p50'), 1e-3),
          ),
        })),
      },
    ],
  })
}

/** @param {Results} one */
function dispatch(one) {
  const titles = ['1 worker', '2 workers'].map(workers => `HTTP connections to ${workers}`)
  return barChart({
    title: `HTTP connections with one request each, ${versionOf(one)}`,
    panels: [
      {
        unit: '1,000 connections a second: longer is better',
        categories: ['1 worker', '2 workers'],
        series: ['fdwire', 'cluster'].map(name => ({
          name,
          values: titles.map(title => scaled(figure(one, title, name, 'rate'), 1e-3)),
        })),
      },
      {
        unit: 'CPU time of all processes a connection, µs: shorter is better',
        categories: ['1 worker', '2 workers'],
        series: ['fdwire', 'cluster'].map(name => ({
          name,
          values: titles.map(title => scaled(figure(one, title, name, 'cpu'), 1e-3)),
        })),
      },
    ],
  })
}

/** @param {number | undefined} value @param {number} factor */
function scaled(value, factor) {
  return value === undefined ? undefined : value * factor
}
