// @ts-check
/** Draws charts as SVG. */

import * as echarts from 'echarts'

/**
 * Readable on a light and on a dark background, at a contrast of 4 or more. A page shows an SVG as an
 * image, which does not know the theme of the page.
 */
const TEXT = '#6e7681'

/** The same contender has the same colour in all charts. @type {{ [name: string]: string }} */
const COLOURS = {
  fdwire: '#2f81f7',
  'fdwire, busyPoll': '#1b9e9e',
  'best JS': '#c78c06',
  'usual JS': '#8b949e',
  child_process: '#a371f7',
  raw: '#3fa34d',
  usocket: '#d1662b',
  text: '#2f81f7',
  Buffer: '#c78c06',
  JSON: '#3fa34d',
  'JSON by sendAll': '#a371f7',
  'resident set': '#2f81f7',
  'heap and external': '#3fa34d',
  descriptors: '#d1662b',
}

const WIDTH = 760
/** Height of a bar. All sizes are in pixels. */
const BAR = 15
const TOP = 66
const BOTTOM = 46
/** Height of a chart of curves. */
const CURVES = 300
const FONT = 'system-ui, Helvetica, Arial, sans-serif'

/**
 * @typedef {object} Panel
 * @property {string} unit of the axis, and which direction is better
 * @property {string[]} categories
 * @property {{ name: string, values: (number | undefined)[] }[]} series one bar of each category
 * @property {number} [line] value at which to draw a line
 */

/**
 * Returns the SVG of panels side by side. All panels have the same series.
 * @param {{ title: string, panels: Panel[], note?: string }} chart
 */
export function barChart({ title, panels, note }) {
  const most = Math.max(...panels.map(panel => panel.categories.length * panel.series.length))
  const gaps = Math.max(...panels.map(panel => panel.categories.length)) * 12
  const height = TOP + BOTTOM + most * BAR + gaps
  const place = panels.map((panel, i) => placeOf(panel, i, panels))
  return svgOf(height, title, note, {
    grid: place.map(({ left, right }) => ({ left, right, top: TOP, bottom: BOTTOM })),
    xAxis: panels.map((panel, i) => ({
      ...valueAxis(i, panel.unit),
      ...{ nameLocation: 'middle', nameGap: 26, splitNumber: panels.length > 2 ? 3 : 5 },
    })),
    yAxis: panels.map((panel, i) => ({
      ...{ type: 'category', gridIndex: i, data: panel.categories, inverse: true },
      axisTick: { show: false },
      axisLine: { lineStyle: { color: TEXT } },
      axisLabel: { color: TEXT, fontSize: 12 },
    })),
    series: panels.flatMap((panel, i) => panel.series.map(bars => seriesOf(bars, panel, i))),
  })
}

/**
 * Returns the SVG of curves over a common time, panels side by side.
 * @param {object} chart
 * @param {string} chart.title
 * @param {string} chart.time unit of the time
 * @param {{ unit: string, series: { name: string, points: [number, number][] }[] }[]} chart.panels
 */
export function lineChart({ title, time, panels }) {
  const part = WIDTH / panels.length
  return svgOf(CURVES, title, undefined, {
    grid: panels.map((_, i) => ({
      ...{ left: i * part + 46, right: WIDTH - (i + 1) * part + 20 },
      ...{ top: TOP + 22, bottom: BOTTOM },
    })),
    xAxis: panels.map((_, i) => ({
      ...valueAxis(i, time),
      ...{ nameLocation: 'middle', nameGap: 26, splitLine: { show: false } },
    })),
    yAxis: panels.map(({ unit }, i) => ({
      ...{ ...valueAxis(i, unit), nameLocation: 'end', min: 0 },
      nameTextStyle: { color: TEXT, fontSize: 12, align: 'left', padding: [0, 0, 0, -30] },
    })),
    series: panels.flatMap(({ series }, i) =>
      series.map(({ name, points }) => ({
        ...{ name, type: 'line', xAxisIndex: i, yAxisIndex: i, silent: true, showSymbol: false },
        ...{ itemStyle: { color: COLOURS[name] ?? TEXT }, lineStyle: { width: 1.5 }, data: points },
      })),
    ),
  })
}

/**
 * Draws a chart with a title and a legend.
 * @param {number} height
 * @param {string} title
 * @param {string | undefined} note
 * @param {object} options of ECharts
 */
function svgOf(height, title, note, options) {
  const chart = echarts.init(null, null, { renderer: 'svg', ssr: true, width: WIDTH, height })
  chart.setOption({
    animation: false,
    textStyle: { fontFamily: FONT, color: TEXT },
    title: {
      ...{ text: title, subtext: note ?? '', left: 0, top: 0, padding: 2, itemGap: 4 },
      textStyle: { fontSize: 16, color: TEXT, fontFamily: FONT },
      subtextStyle: { fontSize: 12, color: TEXT, align: 'right' },
    },
    legend: {
      ...{ left: 2, top: note ? 42 : 28, padding: 0, itemGap: 18, itemHeight: 10, itemWidth: 14 },
      textStyle: { color: TEXT, fontFamily: FONT },
      selectedMode: false,
    },
    ...options,
  })
  const svg = chart.renderToSVGString()
  // It holds a timer, which would keep the process alive.
  chart.dispose()
  const accessible = svg.replace('>', `>\n<title>${title}</title>`)
  // The style is only for the pointer, which an image does not have.
  return `${accessible.replace(/<style[\s\S]*<\/style>\s*/, '')}\n`
}

/** @param {number} index of the panel @param {string} name */
function valueAxis(index, name) {
  return {
    ...{ type: 'value', gridIndex: index, name },
    nameTextStyle: { color: TEXT, fontSize: 12 },
    axisLabel: { color: TEXT, hideOverlap: true },
    splitLine: { lineStyle: { color: TEXT, opacity: 0.25 } },
  }
}

/**
 * @param {Panel['series'][number]} bars
 * @param {Panel} panel
 * @param {number} index
 */
function seriesOf({ name, values }, { series, line }, index) {
  const isFirst = series[0]?.name === name
  return {
    ...{ name, type: 'bar', xAxisIndex: index, yAxisIndex: index, silent: true },
    emphasis: { disabled: true },
    itemStyle: { color: COLOURS[name] ?? TEXT },
    barMaxWidth: BAR,
    barCategoryGap: '18%',
    barGap: '8%',
    data: values.map(value => value ?? null),
    label: {
      ...{ show: true, position: 'right', color: TEXT, fontSize: 11 },
      formatter: (/** @type {{ value: number }} */ { value }) => shown(value),
    },
    ...(line !== undefined && isFirst ? { markLine: markLine(line) } : {}),
  }
}

/** @param {number} at */
function markLine(at) {
  return {
    ...{ silent: true, symbol: 'none', label: { show: false }, data: [{ xAxis: at }] },
    lineStyle: { color: TEXT, type: 'solid', width: 1.5 },
  }
}

/**
 * Divides the width among the panels by the number of their categories, with limits.
 * @param {Panel} panel
 * @param {number} index
 * @param {Panel[]} panels
 */
function placeOf(panel, index, panels) {
  const labels = Math.max(...panel.categories.map(text => text.length)) * 7 + 12
  const part = WIDTH / panels.length
  return { left: index * part + labels, right: WIDTH - (index + 1) * part + 50 }
}

/** @param {number} value */
function shown(value) {
  if (value === null || value === undefined) return ''
  return value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0)
}
