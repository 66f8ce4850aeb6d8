// Tokenizer files into tables: Hugging Face tokenizer.json and tiktoken ranks. Everything in them is checked here.
// Format of the first: https://huggingface.co/docs/tokenizers (the serialized form of its components).
#include <algorithm>
#include <charconv>
#include <exception>
#include <map>

#include "byte_alphabet.h"
#include "file.h"
#include "gguf.h"
#include "json.h"
#include "read_file.h"
#include "tokenizer.h"
#include "tokenizer_gguf.h"
#include "tokenizer_tables.h"

namespace switchyard {
namespace {

using json::Type;
using json::Value;

constexpr uint64_t kMaxFileBytes = 512u << 20;  // gpt-oss has 28 MB

Status unsupported(const Value& at, const std::string& what) {
  return Status::error(Code::unsupported, at.error(what).message);
}

// A setting that must be absent, null, or what it is everywhere we know of: anything else changes the ids.
Status only(const Value& object, std::string_view key, std::string_view allowed) {
  const Value value = object.find(key);
  if (!value || value.is_null()) return {};
  std::string_view text;
  bool flag = false;
  if (value.type() == Type::string && value.get(&text).ok() && text == allowed) return {};
  if (value.type() == Type::boolean && value.get(&flag).ok() && allowed == (flag ? "true" : "false")) return {};
  return unsupported(value, "a value this tokenizer does not support");
}

Status read_byte_level(const Value& step, bool* use_regex) {
  bool add_prefix_space = true;
  *use_regex = true;  // the defaults of the format
  if (Status status = step.get_optional("add_prefix_space", &add_prefix_space); !status.ok()) return status;
  if (Status status = step.get_optional("use_regex", use_regex); !status.ok()) return status;
  if (add_prefix_space) return unsupported(step, "ByteLevel with add_prefix_space");
  return {};
}

Status read_split(const Value& step, SplitPattern* out) {
  Value pattern;
  std::string_view regex, behavior;
  bool invert = false;
  if (Status status = step.get("pattern", &pattern); !status.ok()) return status;
  if (Status status = pattern.expect(Type::object); !status.ok()) return status;
  if (!pattern.find("Regex")) return unsupported(pattern, "a split by anything but a Regex");
  if (Status status = pattern.get("Regex", &regex); !status.ok()) return status;
  if (Status status = step.get("behavior", &behavior); !status.ok()) return status;
  if (Status status = step.get_optional("invert", &invert); !status.ok()) return status;
  // Both keep the matches as the pieces, and the known patterns match everything.
  if (!(behavior == "Isolated" && !invert) && !(behavior == "Removed" && invert)) {
    return unsupported(step, "split behavior " + std::string(behavior.substr(0, 40)));
  }
  if (!find_split_pattern(regex, out)) {
    return unsupported(pattern, "the split pattern " + std::string(regex.substr(0, 400)));
  }
  return {};
}

// Split then ByteLevel (gpt-oss, Llama 3), or ByteLevel with its own pattern (GPT-2).
Status read_pre_tokenizer(const Value& root, SplitPattern* out) {
  Value pre_tokenizer;
  std::string_view type;
  bool use_regex = false;
  if (Status status = root.get("pre_tokenizer", &pre_tokenizer); !status.ok()) return status;
  if (pre_tokenizer.is_null()) return unsupported(pre_tokenizer, "no pre_tokenizer");
  if (Status status = pre_tokenizer.get("type", &type); !status.ok()) return status;
  if (type == "ByteLevel") {
    *out = SplitPattern::gpt2;
    if (Status status = read_byte_level(pre_tokenizer, &use_regex); !status.ok()) return status;
    return use_regex ? Status() : unsupported(pre_tokenizer, "ByteLevel without a split pattern");
  }
  if (type != "Sequence") return unsupported(pre_tokenizer, "pre_tokenizer " + std::string(type.substr(0, 40)));
  Value steps;
  if (Status status = pre_tokenizer.get("pretokenizers", &steps); !status.ok()) return status;
  if (Status status = steps.expect(Type::array); !status.ok()) return status;
  size_t index = 0;
  for (const Value step : steps.items()) {
    if (Status status = step.get("type", &type); !status.ok()) return status;
    if (index > 1 || type != (index == 0 ? "Split" : "ByteLevel")) {
      return unsupported(step, "pre_tokenizer " + std::string(type.substr(0, 40)) + " in this place");
    }
    Status status = index++ == 0 ? read_split(step, out) : read_byte_level(step, &use_regex);
    if (!status.ok()) return status;
  }
  if (index != 2) return unsupported(steps, "a pre_tokenizer Sequence other than Split, ByteLevel");
  return use_regex ? unsupported(steps, "ByteLevel with use_regex after a Split") : Status();
}

Status read_added_tokens(const Value& root, std::map<std::string_view, int64_t>* added, TokenizerTables* tables) {
  const Value list = root.find("added_tokens");
  if (!list) return {};
  if (Status status = list.expect(Type::array); !status.ok()) return status;
  for (const Value item : list.items()) {
    int64_t id = -1;
    std::string_view content;
    bool special = false;
    if (Status status = item.get("id", &id); !status.ok()) return status;
    if (Status status = item.get("content", &content); !status.ok()) return status;
    if (Status status = item.get("special", &special); !status.ok()) return status;
    // It would have to be found in ordinary text, before the split.
    if (!special) return unsupported(item, "an added token that is not special");
    if (Status status = tables->add_token(content, id, true); !status.ok()) return item.error(status.message);
    added->emplace(content, id);
  }
  return {};
}

Status read_vocab(const Value& model, const ByteAlphabet& alphabet, const std::map<std::string_view, int64_t>& added,
                  TokenizerTables* tables) {
  Value vocab;
  if (Status status = model.get("vocab", &vocab); !status.ok()) return status;
  if (Status status = vocab.expect(Type::object); !status.ok()) return status;
  tables->index_tokens(vocab.size());
  std::string bytes;
  for (const json::Member member : vocab.members()) {
    int64_t id = -1;
    if (Status status = member.value.get(&id); !status.ok()) return status;
    if (const auto found = added.find(member.key); found != added.end()) {
      if (found->second == id) continue;
      return member.value.error("another id than the added token of this name has");
    }
    bytes.clear();
    if (!alphabet.decode(member.key, &bytes)) return member.value.error("a token outside the byte-level alphabet");
    if (Status status = tables->add_token(bytes, id, false); !status.ok()) return member.value.error(status.message);
  }
  if (Status status = tables->finish_tokens(); !status.ok()) return vocab.error(status.message);
  return {};
}

// "a b" or ["a", "b"]; earlier ones are merged first.
Status read_merges(const Value& model, const ByteAlphabet& alphabet, TokenizerTables* tables) {
  Value merges;
  if (Status status = model.get("merges", &merges); !status.ok()) return status;
  if (Status status = merges.expect(Type::array); !status.ok()) return status;
  tables->start_merges(merges.size());
  uint32_t priority = 0;
  for (const Value merge : merges.items()) {
    std::string_view sides[2];
    if (merge.type() == Type::array) {
      if (merge.size() != 2) return merge.error("a merge has two sides");
      size_t side = 0;
      for (const Value item : merge.items()) {
        if (Status status = item.get(&sides[side++]); !status.ok()) return status;
      }
    } else {
      std::string_view text;
      if (Status status = merge.get(&text); !status.ok()) return status;
      const size_t space = text.find(' ');
      if (space == std::string_view::npos) return merge.error("a merge has two sides");
      sides[0] = text.substr(0, space);
      sides[1] = text.substr(space + 1);
    }
    if (Status status = add_spelled_merge(alphabet, sides[0], sides[1], priority++, tables); !status.ok())
      return merge.error(status.message);
  }
  return {};
}

Status read_model(const Value& root, const std::map<std::string_view, int64_t>& added, TokenizerTables* tables) {
  Value model;
  std::string_view type;
  if (Status status = root.get("model", &model); !status.ok()) return status;
  if (Status status = model.get("type", &type); !status.ok()) return status;
  if (type != "BPE") return unsupported(model, "model type " + std::string(type.substr(0, 40)));
  if (Status status = only(model, "dropout", ""); !status.ok()) return status;
  if (Status status = only(model, "continuing_subword_prefix", ""); !status.ok()) return status;
  if (Status status = only(model, "end_of_word_suffix", ""); !status.ok()) return status;
  tables->whole_pieces = false;
  if (Status status = model.get_optional("ignore_merges", &tables->whole_pieces); !status.ok()) return status;
  const ByteAlphabet alphabet;
  if (Status status = read_vocab(model, alphabet, added, tables); !status.ok()) return status;
  return read_merges(model, alphabet, tables);
}

Status read_tokenizer_json(const std::string& path, TokenizerTables* tables) {
  std::unique_ptr<json::Document> document;
  if (Status status = json::Document::load(path, kMaxFileBytes, &document); !status.ok()) return status;
  const Value root = document->root();
  if (Status status = root.expect(Type::object); !status.ok()) return status;
  if (const Value normalizer = root.find("normalizer"); normalizer && !normalizer.is_null()) {
    std::string_view type;
    if (Status status = normalizer.get("type", &type); !status.ok()) return status;
    return unsupported(normalizer, "normalizer " + std::string(type.substr(0, 40)));
  }
  if (const Value decoder = root.find("decoder"); decoder && !decoder.is_null()) {
    std::string_view type;
    if (Status status = decoder.get("type", &type); !status.ok()) return status;
    if (type != "ByteLevel") return unsupported(decoder, "decoder " + std::string(type.substr(0, 40)));
  }
  if (Status status = read_pre_tokenizer(root, &tables->split); !status.ok()) return status;
  std::map<std::string_view, int64_t> added;
  if (Status status = read_added_tokens(root, &added, tables); !status.ok()) return status;
  return read_model(root, added, tables);
}

// Standard base64 with padding; false when it is not.
bool decode_base64(std::string_view text, std::string* out) {
  static constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  static const auto values = [] {
    std::array<int8_t, 256> table;
    table.fill(-1);
    for (size_t i = 0; i < kDigits.size(); i++) table[static_cast<unsigned char>(kDigits[i])] = static_cast<int8_t>(i);
    return table;
  }();
  if (text.empty() || text.size() % 4 != 0) return false;
  const size_t padding = text.ends_with("==") ? 2 : text.ends_with("=") ? 1 : 0;
  for (size_t i = 0; i < text.size(); i += 4) {
    const size_t digits = i + 4 == text.size() ? 4 - padding : 4;
    uint32_t word = 0;
    for (size_t j = 0; j < 4; j++) {
      const int value = j < digits ? values[static_cast<unsigned char>(text[i + j])] : 0;
      if (value < 0) return false;
      word = word << 6 | static_cast<uint32_t>(value);
    }
    for (size_t j = 0; j + 1 < digits; j++) out->push_back(static_cast<char>(word >> (16 - 8 * j)));
  }
  return true;
}

// A rank is a token's id and also when it is merged, from whichever two tokens it can be made of.
void merges_from_ranks(TokenizerTables* tables) {
  struct Pair {
    int32_t left, right, id;
  };
  std::vector<Pair> pairs;
  for (int32_t id = 0; id < tables->size(); id++) {
    const std::string_view bytes = tables->bytes_of(id);
    if (bytes.size() < 2 || tables->is_special(id)) continue;
    for (size_t i = 1; i < bytes.size(); i++) {
      const int32_t left = tables->find(bytes.substr(0, i));
      const int32_t right = left < 0 ? -1 : tables->find(bytes.substr(i));
      if (right >= 0) pairs.push_back({left, right, id});
    }
  }
  tables->start_merges(pairs.size());
  for (const Pair& pair : pairs) tables->add_merge(pair.left, pair.right, {static_cast<uint32_t>(pair.id), pair.id});
}

Status read_ranks(const std::string& path, const std::map<std::string, int32_t>& specials, TokenizerTables* tables) {
  std::string text, bytes;
  if (Status status = read_file(path, kMaxFileBytes, &text); !status.ok()) return status;
  tables->index_tokens(static_cast<size_t>(std::count(text.begin(), text.end(), '\n')));
  size_t number = 1;
  for (size_t at = 0; at < text.size(); number++) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = std::string_view(text).substr(at, end - at);
    at = end + 1;
    if (line.empty()) continue;
    const auto bad = [&](const std::string& what) {
      return Status::error(Code::invalid_file, path + ", line " + std::to_string(number) + ": " + what);
    };
    const size_t space = std::min(line.find(' '), line.size());
    const std::string_view digits = line.substr(std::min(space + 1, line.size()));
    int32_t rank = -1;
    const auto [last, code] = std::from_chars(digits.data(), digits.data() + digits.size(), rank);
    bytes.clear();
    if (code != std::errc() || last != digits.data() + digits.size() || !decode_base64(line.substr(0, space), &bytes)) {
      return bad("not \"base64 rank\"");
    }
    if (Status status = tables->add_token(bytes, rank, false); !status.ok()) return bad(status.message);
  }
  for (const auto& [name, id] : specials) {
    if (Status status = tables->add_token(name, id, true); !status.ok()) {
      return Status::error(Code::invalid_argument, "special token " + name + ": " + status.message);
    }
  }
  if (Status status = tables->finish_tokens(); !status.ok()) {
    return Status::error(Code::invalid_file, path + ": " + status.message);
  }
  merges_from_ranks(tables);
  return {};
}

// Runs a reader, and keeps what the standard library throws (out of memory) on this side.
template <typename Read>
Status guarded(const std::string& path, Read read) {
  try {
    return read();
  } catch (const std::exception&) {
    return Status::error(Code::out_of_memory, path + ": no memory for the tokenizer");
  }
}

}  // namespace

Status Tokenizer::load(const std::string& path, std::unique_ptr<Tokenizer>* out) {
  return guarded(path, [&]() -> Status {
    auto tables = std::make_unique<TokenizerTables>();
    if (Status status = read_tokenizer_json(path, tables.get()); !status.ok()) return status;
    out->reset(new Tokenizer(std::move(tables)));
    return {};
  });
}

Status Tokenizer::load_gguf(const std::string& path, std::unique_ptr<Tokenizer>* out) {
  return guarded(path, [&]() -> Status {
    std::unique_ptr<File> file;
    std::unique_ptr<Gguf> gguf;
    if (Status status = File::open(path, &file); !status.ok()) return status;
    if (Status status = Gguf::read(gguf_source(*file), &gguf); !status.ok()) return status;
    auto tables = std::make_unique<TokenizerTables>();
    if (Status status = read_gguf_tokenizer(*gguf, tables.get()); !status.ok()) return status;
    out->reset(new Tokenizer(std::move(tables)));
    return {};
  });
}

Status Tokenizer::load_tiktoken(const std::string& path, std::map<std::string, int32_t> specials,
                                std::unique_ptr<Tokenizer>* out) {
  return guarded(path, [&]() -> Status {
    auto tables = std::make_unique<TokenizerTables>();
    if (Status status = read_ranks(path, specials, tables.get()); !status.ok()) return status;
    out->reset(new Tokenizer(std::move(tables)));
    return {};
  });
}

}  // namespace switchyard
