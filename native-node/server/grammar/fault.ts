// What can be wrong with a grammar that a client wrote.

/** It is none: to be refused. `at` is where, in UTF-16 units from its beginning. */
export class GrammarFault extends Error {
  readonly at: number

  constructor(message: string, at: number) {
    super(message)
    this.at = at
  }
}

/** It may well be right, and has something that is not enforced here: the model is told it, no more. */
export class NotHeld extends Error {}

/** A grammar of more symbols than the engine is given. */
export class GrammarTooLarge extends Error {}
