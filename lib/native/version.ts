/** The version of this package. The addon must have the same. */
export const VERSION = '0.1.0'
