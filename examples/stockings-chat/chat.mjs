// A chat over stockings: both sides exchange their names in the handshake, and then lines of text.
import { Stocking } from 'fdwire/stockings'

/** One side of the chat. */
export class Chat extends Stocking {
  peer

  constructor(channel, name) {
    super(channel)
    this.name = name
  }

  // The handshake fails if both sides have the same name.
  async handshake() {
    this._write(this.name)
    this.peer = await this._read()
    return this.peer !== this.name
  }

  preWrite(text) {
    console.log(`${this.name} says: ${text}`)
    return text
  }

  postRead(message) {
    return `${this.name} hears ${this.peer}: ${message}`
  }
}
