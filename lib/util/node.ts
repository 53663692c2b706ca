/** The major version of Node. */
export const NODE_MAJOR = Number.parseInt(process.versions.node, 10)
