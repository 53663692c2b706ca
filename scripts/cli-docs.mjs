// Writes docs/cli.md from the table of commands. `npm run check` fails if the page is stale.
import { writeFileSync } from 'node:fs'
import { optionTitle, usageOf } from '../dist/lib/cli/arguments.js'
import { COMMANDS } from '../dist/lib/cli/commands.js'

process.chdir(new URL('..', import.meta.url).pathname)

const rows = COMMANDS.map(({ name, summary }) => `| [\`${name}\`](#${name}) | ${summary} |`)
const intro = `# The command line

\`npx fdwire <command>\` sends, receives and shows messages and file descriptors. This page is generated from
\`lib/cli/commands.ts\`, which \`fdwire <command> --help\` prints as well.

| command | |
| --- | --- |
${rows.join('\n')}

## Common to all commands

**Addresses.** \`ADDR\` is a path, \`@NAME\` for an abstract name, \`tcp:HOST:PORT\`, or, for \`listen\`, \`fd:N\` for a
listening socket that the process inherits.

**Values.** With JSON, a value that is not valid JSON is sent as a string, so that \`hello\` and \`{"n":1}\` both
work. Received bytes that are not UTF-8 are printed as \`hex …\`.

**Output.** Colours appear only on a terminal, and not if NO_COLOR is set. \`--json\` prints one object per line:
\`event\` says what happened (\`message\`, \`sent\`, \`connected\`, \`ended\`, \`malformed\` …). Bytes are \`{"text": …}\`
or, if they are not UTF-8, \`{"hex": …}\`. Errors are one line on stderr. Long operations report their rate on
stderr, if that is a terminal.

**End.** Ctrl-C and SIGTERM end every command, and leave no socket behind.

| exit code | |
| --- | --- |
| 0 | success |
| 1 | the operation failed |
| 2 | wrong arguments |
| 3 | nothing arrived within \`--timeout\` |
| 130, 143 | ended by Ctrl-C, by SIGTERM |
`
const cost = `## What a tap costs

Two processes that pass 253 descriptors with each message at full speed take about twice as long with a
tap between them, whether it prints or not (\`node scripts/tap-slowdown.mjs\`). No message and no descriptor is
lost.
`
writeFileSync('docs/cli.md', [intro, ...COMMANDS.map(page), cost].join('\n'))

function page(command) {
  const options = Object.entries(command.options).map(
    ([name, option]) => `| \`${optionTitle(name, option)}\` | ${option.text} |`,
  )
  return `## ${command.name}

\`\`\`console
$ ${usageOf(command)}
\`\`\`

${command.summary} ${command.details}

| option | |
| --- | --- |
${options.join('\n')}

\`\`\`console
${command.example.map(line => `$ ${line}`).join('\n')}
${command.output.join('\n')}
\`\`\`
`
}
