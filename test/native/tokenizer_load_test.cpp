// What load() reads and refuses: small vocabularies, wrong files with their place, and thousands of damaged ones.
#include "tokenizer.h"

#include <random>

#include "check.h"
#include "tokenizer_json.h"

using namespace switchyard;

namespace {

using Ids = std::vector<int32_t>;

// Ids are not in byte order, as in real files; merges are in the order they were learned, not by id.
TokenizerJson small_file() {
  TokenizerJson file;
  for (int byte = 0; byte < 256; byte++) file.vocab.emplace_back(std::string(1, static_cast<char>(byte)), 255 - byte);
  file.merges = {{"l", "l"}, {"e", "ll"}, {"h", "ell"}, {"h", "e"}, {" ", "hell"}, {"\xE4", "\xB8"}, {"\xE4\xB8", "\xAD"}};
  int32_t id = 256 + static_cast<int32_t>(file.merges.size());
  for (const auto& [left, right] : file.merges) file.vocab.emplace_back(left + right, --id);
  file.specials = {{"<|a|>", 300}, {"<|end|>", 301}};
  file.ignore_merges = false;
  return file;
}

Status load_text(std::string_view text, std::unique_ptr<Tokenizer>* out) {
  static const TemporaryFile file("tokenizer.json");
  file.write(text);
  return Tokenizer::load(file.path(), out);
}

Ids encode(const Tokenizer& tokenizer, std::string_view text) {
  Ids ids;
  tokenizer.encode(text, &ids);
  return ids;
}

int32_t only_id(const Tokenizer& tokenizer, std::string_view text) {
  const Ids ids = encode(tokenizer, text);
  return ids.size() == 1 ? ids[0] : -1;
}

void check_small() {
  for (const bool pairs : {true, false}) {
    TokenizerJson file = small_file();
    file.merges_as_pairs = pairs;
    std::unique_ptr<Tokenizer> tokenizer;
    if (!CHECK_OK(load_text(file.text(), &tokenizer))) continue;
    CHECK_EQ(tokenizer->vocab_size(), 302);
    CHECK_EQ(tokenizer->special_id("<|end|>"), 301);
    CHECK_EQ(tokenizer->token_bytes(263), "");  // between the vocabulary and the specials
    // "ll" is learned before "he", so "hell" is h+ell although "he" is a token.
    CHECK_EQ(tokenizer->token_bytes(only_id(*tokenizer, "hell")), "hell");
    CHECK_EQ(tokenizer->token_bytes(only_id(*tokenizer, " hell")), " hell");
    CHECK_EQ(tokenizer->token_bytes(only_id(*tokenizer, "\xE4\xB8\xAD")), "\xE4\xB8\xAD");
    CHECK(encode(*tokenizer, "he!") == Ids({only_id(*tokenizer, "he"), 255 - '!'}));
    CHECK(encode(*tokenizer, "<|a|>") == Ids({255 - '<', 255 - '|', 255 - 'a', 255 - '|', 255 - '>'}));
    CHECK(encode(*tokenizer, "").empty());
  }
  // Without ignore_merges a token no merge leads to is not produced; with it the whole piece is.
  for (const bool ignore_merges : {true, false}) {
    TokenizerJson file = small_file();
    file.vocab.emplace_back("xyz", 290);
    file.ignore_merges = ignore_merges;
    std::unique_ptr<Tokenizer> tokenizer;
    if (!CHECK_OK(load_text(file.text(), &tokenizer))) continue;
    CHECK_EQ(encode(*tokenizer, "xyz").size(), ignore_merges ? 1u : 3u);
    CHECK_EQ(encode(*tokenizer, "xyzz").size(), 4u);
  }
  // A special may also stand in the vocabulary, with the same id; no text reaches it there either.
  TokenizerJson file = small_file();
  file.vocab.emplace_back("<|", 280);
  file.specials.emplace_back("<|", 280);
  file.ignore_merges = true;
  std::unique_ptr<Tokenizer> tokenizer;
  if (CHECK_OK(load_text(file.text(), &tokenizer))) {
    CHECK(tokenizer->is_special(280));
    CHECK_EQ(encode(*tokenizer, "<|").size(), 2u);
  }
}

std::string with(std::string text, std::string_view from, std::string_view to) {
  const size_t at = text.find(from);
  if (CHECK(at != std::string::npos)) text.replace(at, from.size(), to);
  return text;
}

void check_refused() {
  const std::string good = small_file().text();
  struct Case {
    const char *from, *to;
    Code code;
    const char* says;
  };
  const Code invalid = Code::invalid_file, unsupported = Code::unsupported;
  const std::vector<Case> cases = {
      {"\"normalizer\": null", "\"normalizer\": {\"type\": \"NFC\"}", unsupported, "NFC"},
      {"\"normalizer\": null", "\"normalizer\": {\"form\": 1}", invalid, "\"type\" is missing"},
      {"\"normalizer\": null", "\"normalizer\": 3", invalid, "expected an object"},
      {"\"BPE\"", "\"WordPiece\"", unsupported, "WordPiece"},
      {"\"BPE\"", "7", invalid, "expected a string"},
      {"\"type\": \"BPE\", ", "", invalid, "\"type\" is missing"},
      {"\\\\p{N}{1,3}", "\\\\p{N}{1,2}", unsupported, "split pattern"},
      {"\"Regex\"", "\"String\"", unsupported, "Regex"},
      {"\"Isolated\"", "\"Removed\"", unsupported, "Removed"},
      {"\"use_regex\": false", "\"use_regex\": true", unsupported, "use_regex"},
      {"\"add_prefix_space\": false", "\"add_prefix_space\": true", unsupported, "add_prefix_space"},
      {"\"type\": \"Split\"", "\"type\": \"Digits\"", unsupported, "Digits"},
      {"\"type\": \"Sequence\"", "\"type\": \"Metaspace\"", unsupported, "Metaspace"},
      {"\"type\": \"ByteLevel\", \"add", "\"type\": \"Punctuation\", \"add", unsupported, "Punctuation"},
      {"\"decoder\": {\"type\": \"ByteLevel\"}", "\"decoder\": {\"type\": \"WordPiece\"}", unsupported, "WordPiece"},
      {"\"dropout\": null", "\"dropout\": 0.1", unsupported, "dropout"},
      {"\"end_of_word_suffix\": null", "\"end_of_word_suffix\": \"</w>\"", unsupported, "end_of_word_suffix"},
      {"\"special\": true", "\"special\": false", unsupported, "not special"},
      {"\"special\": true", "\"special\": \"yes\"", invalid, "\"special\": expected a boolean"},
      {"\"id\": 301", "\"id\": 300", invalid, "300 is given twice"},
      {"\"id\": 301", "\"id\": 0", invalid, "0 is given twice"},
      {"\"id\": 301", "\"id\": -1", invalid, "token id -1"},
      {"\"id\": 301", "\"id\": 16777217", invalid, "token id 16777217"},
      {"\"id\": 301", "\"id\": 1e400", invalid, "beyond the range"},
      {"\"id\": 301", "\"id\": 99999999999999999999", invalid, "64 bits"},
      {"\"id\": 301", "\"id\": 0.5", invalid, "expected an integer"},
      {"<|a|>", "<|end|>", invalid, "given twice"},
      {"<|a|>", "", invalid, "empty token"},
      {"<|a|>", "hell", invalid, "another id"},
      {"<|a|>", "\\ud800", invalid, "surrogate"},
      {"\"hell\": 260", "\"hell\": 261", invalid, "261 is given twice"},
      {"\"hell\": 260", "\"hell\": \"x\"", invalid, "\"hell\": expected a number"},
      {"\"hell\": 260", "\"\": 260", invalid, "empty token"},
      {"\"hell\": 260", "\"h ll\": 260", invalid, "alphabet"},
      {"\"hell\": 260", "\"h\xE2\x82\xAC\": 260", invalid, "alphabet"},
      {"\"hell\": 260", "\"ell\": 260", invalid, "key \"ell\" is given twice"},
      {"\"hell\": 260", "\"hexx\": 260", invalid, "the vocabulary does not have"},
      {"\"a\": 158,", "", invalid, "byte 97 has no token"},
      {"[\"l\", \"l\"]", "[\"l\"]", invalid, "two sides"},
      {"[\"l\", \"l\"]", "[\"l\", \"l\", \"l\"]", invalid, "two sides"},
      {"[\"l\", \"l\"]", "[\"l\", 5]", invalid, "expected a string"},
      {"[\"l\", \"l\"]", "\"ll\"", invalid, "two sides"},
      {"[\"l\", \"l\"]", "\"l  l\"", invalid, "alphabet"},
      {"[\"l\", \"l\"]", "[\"q\", \"q\"]", invalid, "the vocabulary does not have"},
      {"[\"l\", \"l\"]", "[\"\", \"ll\"]", invalid, "the vocabulary does not have"},
      {"[\"l\", \"l\"]", "[\"<|\", \"end|>\"]", invalid, "the vocabulary does not have"},
      {"[\"l\", \"l\"]", "null", invalid, "expected a string"},
      {"\"vocab\": {", "\"vocab\": [], \"was\": {", invalid, "expected an object"},
      {"\"merges\": [", "\"was\": [", invalid, "\"merges\" is missing"},
      {"\"model\":", "\"was\":", invalid, "\"model\" is missing"},
      {"\"pre_tokenizer\":", "\"was\":", invalid, "\"pre_tokenizer\" is missing"},
  };
  for (const Case& item : cases) {
    std::unique_ptr<Tokenizer> tokenizer;
    const Status status = load_text(with(good, item.from, item.to), &tokenizer);
    const std::string what = std::string(item.from) + " -> " + item.to + ": " + status.message;
    if (status.code != item.code) CHECK_EQ(what, "another code");
    if (status.message.find(item.says) == std::string::npos) CHECK_EQ(what, item.says);
    if (status.message.find(", byte ") == std::string::npos) CHECK_EQ(what, "a place");
    CHECK(tokenizer == nullptr);
  }
  std::unique_ptr<Tokenizer> tokenizer;
  CHECK(Tokenizer::load("/nowhere/tokenizer.json", &tokenizer).code == Code::not_found);
  CHECK(Tokenizer::load("/", &tokenizer).code == Code::io_error);
  for (const std::string& text : {std::string(), std::string("null"), std::string(100000, '['), std::string(6000, '{')}) {
    CHECK(load_text(text, &tokenizer).code == Code::invalid_file);
  }
}

void check_ranks() {
  std::string good;
  for (int byte = 0; byte < 256; byte++) {
    static constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    good += {kDigits[byte >> 2], kDigits[(byte & 3) << 4], '=', '='};
    good += " " + std::to_string(byte) + "\n";
  }
  const TemporaryFile file("small.tiktoken");
  const auto load = [&file](const std::string& text, std::map<std::string, int32_t> specials = {}) {
    file.write(text);
    std::unique_ptr<Tokenizer> tokenizer;
    return Tokenizer::load_tiktoken(file.path(), std::move(specials), &tokenizer);
  };
  CHECK_OK(load(good));
  CHECK_OK(load(good + "YWI= 256\nYWJj 257\n\n", {{"<|x|>", 258}}));
  CHECK(load(good, {{"<|x|>", 255}}).code == Code::invalid_argument);
  CHECK(load(good, {{"<|x|>", 300}, {"<|y|>", 300}}).code == Code::invalid_argument);
  CHECK(load(good, {{"<|x|>", -5}}).code == Code::invalid_argument);
  CHECK(load(good, {{"", 300}}).code == Code::invalid_argument);
  for (const char* line : {"YWI=", "YWI= ", "YWI= x", "YWI= 256 7", "YWI 256", "=WI= 256", "Y*I= 256", " 256", "YWI= -1",
                           "YWI= 99999999999", "YWI= 16777217", "YWI= 255", "AA== 256", "YWI=  256", "\xFF\xFF\xFF\xFF 256"}) {
    const Status status = load(good + line + "\n");
    if (status.code != Code::invalid_file) CHECK_EQ(line, "invalid_file");
    CHECK(status.message.find("line 257") != std::string::npos);
  }
  CHECK(load("").code == Code::invalid_file);
  CHECK(load(good.substr(0, good.size() / 2)).code == Code::invalid_file);
}

// Any damage gives a Status or a tokenizer that keeps its promises; under the sanitizers, nothing else.
void check_damaged(int rounds) {
  const std::string good = small_file().text();
  const std::vector<std::string> scraps = {"[", "]", "{", "}", "\"", ",", ":", "null", "true", "-1", "1e400", "16777216",
                                           "16777217", "\\ud800", "\\u0000", "\\", "\xFF", "\"\"", "[[[[", "0.5", " ", "300"};
  std::mt19937 random(3);
  std::unique_ptr<Tokenizer> tokenizer;
  int loaded = 0;
  for (int round = 0; round < rounds; round++) {
    std::string text = good;
    for (uint32_t change = random() % 3 + 1; change > 0; change--) {
      const size_t at = random() % text.size();
      // Half of the damage goes to the first kilobytes, where the settings are.
      const size_t place = random() % 2 ? at : at % 2048 % text.size();
      const size_t length = std::min<size_t>(random() % 24, text.size() - place);
      switch (random() % 6) {
        case 0: text[place] = static_cast<char>(random()); break;
        case 1: text[place] ^= static_cast<char>(1u << random() % 8); break;
        case 2: text.erase(place, length); break;
        case 3: text.insert(place, text.substr(random() % text.size(), length)); break;
        case 4: text.replace(place, random() % 2 ? length : 0, scraps[random() % scraps.size()]); break;
        default: text.resize(random() % 8 ? text.size() : place + 1); break;
      }
      if (text.empty()) text = " ";
    }
    tokenizer.reset();
    const Status status = load_text(text, &tokenizer);
    if (status.ok() != (tokenizer != nullptr)) CHECK_EQ(round, -1);
    if (!status.ok()) {
      if (status.message.empty()) CHECK_EQ(round, -1);
      continue;
    }
    loaded++;
    std::string bytes(random() % 100, ' '), back;
    for (char& byte : bytes) byte = random() % 2 ? static_cast<char>(random()) : " hello"[random() % 6];
    for (const int32_t id : encode(*tokenizer, bytes)) {
      CHECK(!tokenizer->is_special(id));
      back += tokenizer->token_bytes(id);
    }
    CHECK(back == bytes);
  }
  CHECK(loaded > rounds / 100 && loaded < rounds);
}

}  // namespace

int main(int argc, char** argv) {
  check_small();
  check_refused();
  check_ranks();
  const std::string rounds = argc > 2 ? argv[2] : "";  // for longer runs by hand
  check_damaged(rounds.empty() ? 3000 : std::atoi(rounds.c_str()));
  return check_result();
}
