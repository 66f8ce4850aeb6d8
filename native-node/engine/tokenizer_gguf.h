// The tokenizer that a GGUF file carries.
#pragma once

#include "gguf.h"
#include "tokenizer_tables.h"

namespace switchyard {

// Byte-level BPE with the o200k split. Anything it would have to guess at is `unsupported`, by name.
Status read_gguf_tokenizer(const Gguf& file, TokenizerTables* tables);

}  // namespace switchyard
