/** A context-free grammar over bytes, as the engine takes it; rule 0 is what the whole text must be. No rule is left recursive. */
export interface Grammar {
  /**
   * Rules one after another. >= 0: a byte set; -1 ends an alternative, -2 a rule (behind its last alternative's -1);
   * <= -3: rule number -3 - symbol. An alternative without symbols is the empty text.
   */
  symbols: Int32Array
  /** 32 bytes a set: byte b is in it where bit b & 7 of byte b >> 3 is set. */
  byteSets: Uint8Array
}
