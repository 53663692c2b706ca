import { readFileSync } from 'node:fs'
import { defineConfig } from 'vitepress'
import { markdown, REPOSITORY } from '../markdown.mjs'
import { PAGES, ROOT, sections } from '../pages.mjs'

const { name, description, version } = JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8'))
const linkTo = file => `/${PAGES.get(file).replace(/\.md$/, '')}`.replace(/\/index$/, '/')

export default defineConfig({
  title: name,
  description,
  lang: 'en',
  srcDir: '..',
  outDir: '../target/site',
  cacheDir: '../target/site-cache',
  // All other Markdown files of the repository.
  srcExclude: [
    '{__test__,bench,crates,examples,fuzz,lib,npm,scripts,site,target,vectors}/**',
    'THIRD_PARTY_NOTICES.md',
  ],
  rewrites: Object.fromEntries(PAGES),
  markdown,
  // The index of the search is larger than the 500 kB at which Vite warns.
  vite: { build: { chunkSizeWarningLimit: 4_000 } },
  themeConfig: {
    search: { provider: 'local' },
    sidebar: sections().map(({ title, pages }, index) => ({
      text: title,
      // A page opens its own section.
      collapsed: index > 2,
      items: pages.map(({ file, title }) => ({ text: title, link: linkTo(file) })),
    })),
    nav: [{ text: version, link: linkTo('CHANGELOG.md') }],
    outline: [2, 3],
    socialLinks: [{ icon: 'github', link: REPOSITORY }],
    externalLinkIcon: false,
  },
})
