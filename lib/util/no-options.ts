/**
 * The default of a parameter with options. It inherits nothing, so that what other code adds to
 * `Object.prototype` is not taken for an option.
 */
export const NO_OPTIONS: Readonly<Record<string, never>> = Object.freeze(Object.create(null))
