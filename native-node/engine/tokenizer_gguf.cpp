#include "tokenizer_gguf.h"

#include <algorithm>

#include "byte_alphabet.h"
#include "gguf_config.h"

namespace switchyard {
namespace {

constexpr const char* kTokens = "tokenizer.ggml.tokens";
constexpr const char* kTypes = "tokenizer.ggml.token_type";
constexpr const char* kMerges = "tokenizer.ggml.merges";
constexpr size_t kMostEnds = 256;  // each is looked for after every token

// Of tokenizer.ggml.token_type.
enum TokenType : int64_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };

// The split goes by its name. Ollama's converter knows none for this vocabulary and writes "default".
Status check_kind(const Gguf& file) {
  std::string_view model, pre;
  GgufWriter writer{};
  for (Status status : {
           gguf_writer(file, &writer),
           file.get_string("tokenizer.ggml.model", &model),
           file.get_string("tokenizer.ggml.pre", &pre),
       }) {
    if (!status.ok()) return status;
  }
  if (model != "gpt2") return file.unsupported("tokenizer.ggml.model", Gguf::quoted(model) + " is not supported (gpt2)");
  if (pre == "gpt-4o" || pre == "o200k" || (writer == GgufWriter::ollama && pre == "default")) return {};
  return file.unsupported("tokenizer.ggml.pre", "the pre-tokenizer " + Gguf::quoted(pre) + " is not supported (gpt-4o, o200k)");
}

// What nobody uses counts as special, so that it is never generated.
bool is_special(int64_t type, std::string_view token) {
  if (type == kControl || type == kUnused) return true;
  return type == kUserDefined && token.starts_with("<|") && token.ends_with("|>");
}

Status read_tokens(const Gguf& file, const ByteAlphabet& alphabet, TokenizerTables* tables) {
  std::vector<std::string_view> tokens;
  std::vector<int64_t> types;
  if (Status status = file.get_strings(kTokens, &tokens); !status.ok()) return status;
  if (Status status = file.get_integers(kTypes, 0, INT32_MAX, &types); !status.ok()) return status;
  if (types.size() != tokens.size())
    return file.error(kTypes, std::to_string(types.size()) + " types for " + std::to_string(tokens.size()) + " tokens");
  tables->index_tokens(tokens.size());
  std::string bytes;
  for (size_t id = 0; id < tokens.size(); id++) {
    const auto place = [&] { return "token " + std::to_string(id) + ", " + Gguf::quoted(tokens[id]); };
    const bool special = is_special(types[id], tokens[id]);
    if (!special && types[id] != kNormal)  // it would have to be found in ordinary text, before the split
      return file.unsupported(kTypes, place() + ": a token of type " + std::to_string(types[id]));
    bytes.clear();
    if (!special && !alphabet.decode(tokens[id], &bytes))
      return file.error(kTokens, place() + ": outside the byte-level alphabet");
    const Status status = tables->add_token(special ? tokens[id] : bytes, static_cast<int64_t>(id), special);
    if (!status.ok()) return file.error(kTokens, place() + ": " + status.message);
  }
  const Status status = tables->finish_tokens();
  return status.ok() ? status : file.error(kTokens, status.message);
}

Status read_merges(const Gguf& file, const ByteAlphabet& alphabet, TokenizerTables* tables) {
  std::vector<std::string_view> merges;
  if (Status status = file.get_strings(kMerges, &merges); !status.ok()) return status;
  tables->start_merges(merges.size());
  for (size_t i = 0; i < merges.size(); i++) {
    // The alphabet has no blank.
    const size_t space = std::min(merges[i].find(' '), merges[i].size());
    const std::string_view right = merges[i].substr(std::min(space + 1, merges[i].size()));
    const Status status = add_spelled_merge(alphabet, merges[i].substr(0, space), right, static_cast<uint32_t>(i), tables);
    if (!status.ok()) return file.error(kMerges, "merge " + std::to_string(i) + ": " + status.message);
  }
  return {};
}

Status read_eos(const Gguf& file, TokenizerTables* tables) {
  for (const char* key : {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eos_token_ids"}) {
    std::vector<int64_t> ids;
    bool found = false;
    if (Status status = file.get_integers(key, 0, tables->size() - 1, &ids, &found); !status.ok()) return status;
    if (ids.size() > kMostEnds) return file.error(key, "has " + std::to_string(ids.size()) + " ids, more than any model ends by");
    tables->eos_ids.insert(tables->eos_ids.end(), ids.begin(), ids.end());
  }
  return {};
}

}  // namespace

Status read_gguf_tokenizer(const Gguf& file, TokenizerTables* tables) {
  if (Status status = check_kind(file); !status.ok()) return status;
  tables->split = SplitPattern::o200k;
  tables->whole_pieces = true;  // as tiktoken has it; the merges of a complete vocabulary come to the same
  const ByteAlphabet alphabet;
  for (auto read : {read_tokens, read_merges}) {
    if (Status status = read(file, alphabet, tables); !status.ok()) return status;
  }
  return read_eos(file, tables);
}

}  // namespace switchyard
