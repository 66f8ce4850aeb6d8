// Loaded before everything else (`node --require`): an older Node would stop at words of the other scripts that it cannot
// read. In the language of Node 6.
const oldest = 20

if (Number.parseInt(process.versions.node, 10) < oldest) {
  const message = `Node ${oldest} or newer is needed; this is ${process.versions.node}.`
  process.stderr.write(`switchyard: ${message}\n`)
  process.exit(1)
}
