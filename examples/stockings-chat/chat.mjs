// A chat over stockings: both say who they are in the handshake, and then what they have to say.
import { Stocking } from 'fdwire/stockings'

/** Lines with a time, from somebody whose name was agreed on before the first of them. */
export class Chat extends Stocking {
  peer

  constructor(channel, name) {
    super(channel)
    this.name = name
  }

  // Each side sends its id first. Nobody talks to himself.
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
