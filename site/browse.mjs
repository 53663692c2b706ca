/** Looks at the built site in headless Chromium. */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, rmSync } from 'node:fs'
import { chromium } from 'playwright-core'

/** The files of the site are served under this address, without a server. */
const ORIGIN = 'https://site.invalid'
/** A phone and a desk (CSS pixels). */
const WIDTHS = [390, 1280]
/** Time limit of a step (ms). */
const TIMEOUT = 60_000

/**
 * Looks at the site in `folder` and keeps screenshots. Returns a text for each problem.
 *
 * `addresses` are those of all pages; at the addresses in `examined` it looks at both widths, in
 * light and dark. The search must find `word` at the address `found`. `code` is the first code block
 * of the front page.
 */
export async function look({ folder, screenshots, addresses, examined, word, found, code }) {
  rmSync(screenshots, { recursive: true, force: true })
  mkdirSync(screenshots, { recursive: true })
  const problems = []
  const executablePath = execFileSync('which', ['chromium'], { encoding: 'utf8' }).trim()
  // CI is root in a container, where Chromium's sandbox does not work.
  const browser = await chromium.launch({ executablePath, chromiumSandbox: false })
  try {
    for (const width of WIDTHS) {
      const shots = new Map()
      for (const colorScheme of ['light', 'dark']) {
        const page = await newPage({ width, colorScheme })
        for (const address of examined) {
          await visit(page, address)
          const name = `${nameOf(address)}-${width}-${colorScheme}.png`
          const image = await page.screenshot({ path: `${screenshots}/${name}` })
          shots.set(`${address} ${colorScheme}`, await statistics(page, image))
        }
        await page.context().close()
      }
      for (const address of examined) compare(address, width, shots)

      const page = await newPage({ width, colorScheme: 'light' })
      await checkCopy(page, width)
      await checkSearch(page, width, screenshots)
      await page.context().close()
    }
    const page = await newPage({ width: WIDTHS.at(-1), colorScheme: 'light' })
    for (const address of addresses) await checkWidths(page, address)
    await checkSwitch(await newPage({ width: WIDTHS.at(-1), colorScheme: 'light' }))
  } finally {
    await browser.close()
  }
  return problems

  /** Returns a tab that has the site's files and no network, and reports every error. */
  async function newPage({ width, colorScheme }) {
    const context = await browser.newContext({
      viewport: { width, height: 900 },
      colorScheme,
      isMobile: width === WIDTHS[0],
      hasTouch: width === WIDTHS[0],
      permissions: ['clipboard-read', 'clipboard-write'],
    })
    context.setDefaultTimeout(TIMEOUT)
    await context.route('**/*', route => {
      const url = new URL(route.request().url())
      const path = `${folder}${decodeURIComponent(url.pathname).replace(/\/$/, '/index.html')}`
      if (url.origin === ORIGIN && existsSync(path)) return route.fulfill({ path })
      problems.push(`The browser requests ${url}, which is no file of the site`)
      return route.abort()
    })
    const page = await context.newPage()
    const report = text => problems.push(`${page.url()}: ${text}`)
    page.on('pageerror', error => report(error.message))
    page.on('console', message => {
      if (message.type() === 'error') report(message.text())
    })
    return page
  }

  function compare(address, width, shots) {
    const [light, dark] = ['light', 'dark'].map(scheme => shots.get(`${address} ${scheme}`))
    const say = text => problems.push(`${address} with ${width} pixels: ${text}`)
    if (light.colors < 50 || dark.colors < 50) say('the screenshot is blank')
    if (light.brightness < 0.75) say(`the light page is dark (brightness ${light.brightness})`)
    if (dark.brightness > 0.35) say(`the dark page is light (brightness ${dark.brightness})`)
  }

  /** Reports a page that has to be scrolled to the side, and what sticks out. */
  async function checkWidths(page, address) {
    await visit(page, address)
    for (const width of WIDTHS) {
      await page.setViewportSize({ width, height: 900 })
      const [scrollWidth, element] = await page.evaluate(() => {
        const { scrollWidth, clientWidth } = document.documentElement
        const wide = [...document.querySelectorAll('.vp-doc *')].find(
          one => one.getBoundingClientRect().right > clientWidth,
        )
        return [scrollWidth, wide?.outerHTML.slice(0, 200)]
      })
      if (scrollWidth > width) {
        problems.push(`${address} is ${scrollWidth} pixels wide, not ${width}: ${element}`)
      }
    }
  }

  async function checkCopy(page, width) {
    await visit(page, '/')
    const block = page.locator('.vp-doc div.language-js').first()
    await block.hover()
    await block.locator('button.copy').click()
    await page.waitForSelector('button.copy.copied')
    const copied = await page.evaluate(() => navigator.clipboard.readText())
    if (copied.trim() !== code.trim()) {
      problems.push(`With ${width} pixels the copy button copies\n${copied}\ninstead of\n${code}`)
    }
  }

  async function checkSearch(page, width, screenshots) {
    await visit(page, '/')
    await page.locator('.VPNavBarSearch button').first().click()
    await page.locator('#localsearch-input').fill(word)
    await page.waitForSelector('.VPLocalSearchBox a.result')
    const path = `${screenshots}/search-${width}.png`
    await page.screenshot({ path })
    const results = await page
      .locator('.VPLocalSearchBox a.result')
      .evaluateAll(links => links.map(link => link.getAttribute('href')))
    if (!results.some(result => result.split('#')[0] === found)) {
      problems.push(`The search for ${word} finds ${results.join(', ')}, but not ${found}`)
    }
    await page.locator('.VPLocalSearchBox a.result').first().click()
    await page.waitForURL(`${ORIGIN}${results[0]}`)
  }

  async function checkSwitch(page) {
    await visit(page, '/')
    await page.locator('.VPNavBar .VPSwitchAppearance').first().click()
    await page.waitForSelector('html.dark')
    await page.reload()
    await page.waitForSelector('html.dark')
  }
}

/** Returns the name of the screenshots of a page. */
function nameOf(address) {
  return (
    address
      .replace(/\.html$/, '')
      .replaceAll(/\W+/g, '-')
      .slice(1) || 'index'
  )
}

/** Opens a page and waits until its scripts run. */
async function visit(page, address) {
  await page.goto(`${ORIGIN}${address}`)
  await page.waitForFunction(() => document.querySelector('#app')?.__vue_app__ !== undefined)
  await page.evaluate(() => document.fonts.ready)
}

/** Returns the number of colours of an image and its mean brightness, 0 to 1. */
async function statistics(page, image) {
  return page.evaluate(async base64 => {
    const picture = new Image()
    picture.src = `data:image/png;base64,${base64}`
    await picture.decode()
    const canvas = new OffscreenCanvas(picture.width, picture.height)
    const context = canvas.getContext('2d')
    context.drawImage(picture, 0, 0)
    const pixels = new Uint32Array(
      context.getImageData(0, 0, picture.width, picture.height).data.buffer,
    )
    const sum = pixels.reduce((sum, pixel) => sum + ((pixel >> 8) & 255), 0)
    return { colors: new Set(pixels).size, brightness: sum / pixels.length / 255 }
  }, image.toString('base64'))
}
