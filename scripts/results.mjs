// @ts-check
// Writes the committed results of benchmarks, stress runs, fuzzers and memory checkers.
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'

const root = new URL('..', import.meta.url)

/**
 * Returns the date and the commit of a result: the latest commit that changed one of `paths`, with `+` after it if
 * there are changes since.
 * @param {readonly string[]} paths what the result depends on
 */
export function provenanceOf(paths) {
  const git = (/** @type {string[]} */ ...args) =>
    execFileSync('git', [...args, '--', ...paths], { cwd: root, encoding: 'utf8' }).trim()
  const commit = git('log', '-1', '--format=%h')
  const isChanged = git('status', '--porcelain') !== ''
  return { date: new Date().toISOString().slice(0, 10), commit: isChanged ? `${commit}+` : commit }
}

/**
 * Writes a file of results. Each object that begins with the key `oneLine` is one line.
 * @param {string | URL} file
 * @param {unknown} results
 * @param {string} [oneLine]
 */
export function writeResults(file, results, oneLine) {
  const text = JSON.stringify(results, undefined, 2)
  const objects = new RegExp(`\\{\\s*"${oneLine}"[^}]*\\}`, 'g')
  const short =
    oneLine === undefined ? text : text.replace(objects, one => one.replace(/\s+/g, ' '))
  writeFileSync(file, `${short}\n`)
}

/**
 * Replaces rows of a file of results, whose rows are in the order of their names.
 * @param {string | URL} file
 * @param {{ [name: string]: object }} rows
 */
export function replaceRows(file, rows) {
  const before = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : {}
  const all = Object.entries({ ...before, ...rows }).sort(([a], [b]) => (a < b ? -1 : 1))
  writeResults(file, Object.fromEntries(all))
}
