// Text to token ids and back: byte-level BPE as the gpt-oss tokenizer files describe it.
// Reads a Hugging Face tokenizer.json, a GGUF file or a tiktoken ranks file. Knows ids and bytes, not chat: who wants a control token
// asks for it by name (special_id) and puts the id into the prompt itself.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "status.h"

namespace switchyard {

struct TokenizerTables;

// Every const method may be called from several threads at once.
class Tokenizer {
 public:
  // A tokenizer.json: byte-level BPE, a split pattern of the o200k, cl100k or gpt2 family. Anything it would have to
  // guess at (another model type, pattern, normalizer, an added token that is not special) is `unsupported`; anything
  // that contradicts itself is `invalid_file`.
  static Status load(const std::string& tokenizer_json_path, std::unique_ptr<Tokenizer>* out);
  // The one that a GGUF file carries: byte-level BPE with the o200k split. The same errors.
  static Status load_gguf(const std::string& path, std::unique_ptr<Tokenizer>* out);
  // Lines of "base64 rank" with the o200k split; specials by name.
  static Status load_tiktoken(const std::string& ranks_path, std::map<std::string, int32_t> specials,
                              std::unique_ptr<Tokenizer>* out);
  ~Tokenizer();
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  // Appends the ids of ordinary text: "<|end|>" in it stays text, a special id never comes out. Any bytes are taken and
  // the token bytes joined give them back: a byte that is not part of valid UTF-8 counts as a character of its own,
  // neither letter nor number nor white space.
  void encode(std::string_view utf8, std::vector<int32_t>* ids) const;

  // The raw bytes of a token, which may be part of a character; a special's name; empty for ids nothing uses.
  // Valid while the tokenizer lives.
  std::string_view token_bytes(int32_t id) const;

  bool is_special(int32_t id) const;
  int32_t special_id(std::string_view name) const;                         // -1 if absent
  const std::vector<std::pair<std::string, int32_t>>& specials() const;  // by id
  int32_t vocab_size() const;                                            // max id + 1
  const std::vector<int32_t>& eos_ids() const;                           // as a GGUF file has them; else none

 private:
  explicit Tokenizer(std::unique_ptr<const TokenizerTables> tables);
  std::unique_ptr<const TokenizerTables> tables_;
};

}  // namespace switchyard
