/** Runs one case in a process of its own, so that its accounts are exact, and reports the result. */
const { name, settings } = JSON.parse(process.argv[2])
const { run } = await import(`../cases/${name}.mjs`)

// Without the parent, no process waits for the result.
process.on('disconnect', () => process.exit(1))
const started = performance.now()
try {
  const figures = await run(settings)
  process.send({ figures, seconds: Math.round((performance.now() - started) / 100) / 10 })
} catch (error) {
  process.send({ error: error?.stack ?? String(error) })
}
