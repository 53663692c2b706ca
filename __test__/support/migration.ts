/** The programs of the pages in docs/migration. */
import { readdirSync, readFileSync } from 'node:fs'
import { testPath } from './processes.js'

const FOLDER = testPath('../docs/migration')

/** The names of the pages, without the index. */
export const MIGRATION_PAGES = readdirSync(FOLDER).filter(name => name !== 'README.md')

export interface Program {
  code: string
  /** The lines that it prints, by its comments `→ …`. */
  prints: string[]
}

export const readMigration = (page: string): string => readFileSync(`${FOLDER}/${page}`, 'utf8')

/** Returns the first program after a heading of a page. Throws if there is none. */
export function programAfter(page: string, heading: string): Program {
  const text = readMigration(page)
  const section = text.slice(text.indexOf(`\n## ${heading}`))
  const code = /^```\w+\n([\s\S]*?)^```/m.exec(section)?.[1]
  if (code === undefined) throw new Error(`${page} has no program after ## ${heading}`)
  return { code, prints: [...code.matchAll(/(?:#|\/\/) → (.*)/g)].map(([, line = '']) => line) }
}
