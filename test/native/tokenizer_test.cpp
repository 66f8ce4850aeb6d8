// Ids against oracles, both file formats against each other, bytes in and out, and time on long texts.
// Usage: tokenizer_test o200k_base.tiktoken test/fixtures/golden/tokenizer.json
#include "tokenizer.h"

#include <chrono>
#include <filesystem>
#include <random>
#include <thread>

#include "check.h"
#include "json.h"
#include "tokenizer_json.h"

using namespace switchyard;

namespace {

using Ids = std::vector<int32_t>;

Ids encode(const Tokenizer& tokenizer, std::string_view text) {
  Ids ids;
  tokenizer.encode(text, &ids);
  return ids;
}

std::string decode(const Tokenizer& tokenizer, const Ids& ids) {
  std::string bytes;
  for (const int32_t id : ids) bytes += tokenizer.token_bytes(id);
  return bytes;
}

std::string show(const Ids& ids) {
  std::string text;
  for (const int32_t id : ids) text += std::to_string(id) + " ";
  return text;
}

struct Case {
  std::string text;
  Ids ids;
};

std::vector<Case> read_cases(const std::string& path) {
  std::vector<Case> cases;
  std::unique_ptr<json::Document> document;
  if (!CHECK_OK(json::Document::load(path, 1 << 24, &document))) return cases;
  const json::Value list = document->root().find("cases") ? document->root().find("cases") : document->root();
  for (const json::Value item : list.items()) {
    Case& added = cases.emplace_back();
    CHECK_OK(item.get("text", &added.text));
    for (const json::Value id : item.find("ids").items()) {
      added.ids.push_back(-1);
      CHECK_OK(id.get(&added.ids.back()));
    }
  }
  return cases;
}

void check_cases(const Tokenizer& tokenizer, const std::vector<Case>& cases) {
  for (const Case& item : cases) {
    const Ids ids = encode(tokenizer, item.text);
    if (ids != item.ids) {
      CHECK_EQ("'" + item.text + "' " + show(ids), "'" + item.text + "' " + show(item.ids));
    }
    CHECK(decode(tokenizer, ids) == item.text);
  }
}

// The ranks as a tokenizer.json: the ids must come out of the merges' order, too.
void check_both_formats(const Tokenizer& ranks, const std::vector<Case>& cases) {
  TokenizerJson file;
  for (int32_t id = 0; id < ranks.vocab_size(); id++) {
    if (!ranks.is_special(id) && !ranks.token_bytes(id).empty()) file.vocab.emplace_back(ranks.token_bytes(id), id);
  }
  file.specials = ranks.specials();
  file.merges_from_ranks();
  for (const bool ignore_merges : {true, false}) {
    file.ignore_merges = ignore_merges;
    file.merges_as_pairs = ignore_merges;
    const TemporaryFile json("tokenizer.json");
    json.write(file.text());
    std::unique_ptr<Tokenizer> loaded;
    if (!CHECK_OK(Tokenizer::load(json.path(), &loaded))) continue;
    CHECK_EQ(loaded->vocab_size(), ranks.vocab_size());
    CHECK(loaded->specials() == ranks.specials());
    // Every o200k token can be made by merges, so that they alone give the same ids.
    check_cases(*loaded, cases);
  }
}

void check_specials(const Tokenizer& tokenizer) {
  CHECK_EQ(tokenizer.special_id("<|end|>"), 200007);
  CHECK_EQ(tokenizer.special_id("<|nothing|>"), -1);
  CHECK_EQ(tokenizer.special_id("assistant"), -1);
  CHECK(tokenizer.is_special(200012));
  CHECK(!tokenizer.is_special(0) && !tokenizer.is_special(-1) && !tokenizer.is_special(1 << 30));
  CHECK_EQ(tokenizer.token_bytes(200012), "<|call|>");
  CHECK_EQ(tokenizer.token_bytes(200011), "");  // a gap
  CHECK_EQ(tokenizer.token_bytes(-1), "");
  CHECK_EQ(tokenizer.token_bytes(200013), "");
  CHECK_EQ(tokenizer.vocab_size(), 200013);
  CHECK_EQ(tokenizer.specials().size(), 3u);
  CHECK_EQ(tokenizer.specials().front().first, "<|endoftext|>");
  for (const int32_t id : encode(tokenizer, "<|end|><|call|> <|endoftext|>\n")) CHECK(!tokenizer.is_special(id));
  Ids ids = {7};
  tokenizer.encode("assistant", &ids);
  CHECK(ids == Ids({7, 173781}));  // appended
}

void check_any_bytes(const Tokenizer& tokenizer) {
  std::mt19937 random(1);
  // Bytes that begin, continue and break off UTF-8 sequences are most of the second half.
  const std::string_view tricky = "\xC0\x80\xE0\x9F\xED\xA0\x80\xF0\x8F\xF4\x90\xF5\xFF\xC3\xA9\xE4\xB8\xAD\xCC\x81 \nAa'1";
  for (int round = 0; round < 4000; round++) {
    std::string bytes(random() % 80, ' ');
    for (char& byte : bytes) {
      byte = round % 2 == 0 ? static_cast<char>(random()) : tricky[random() % tricky.size()];
    }
    const Ids ids = encode(tokenizer, bytes);
    if (!CHECK(decode(tokenizer, ids) == bytes)) break;
  }
  CHECK(decode(tokenizer, encode(tokenizer, std::string("\0a\0", 3))) == std::string("\0a\0", 3));
  // An invalid byte is no letter: it stands between two words, as any symbol would.
  CHECK_EQ(encode(tokenizer, "hello\xFF").front(), encode(tokenizer, "hello").front());
}

std::string repeat(std::string_view unit, size_t size) {
  std::string text;
  while (text.size() < size) text += unit;
  return text;
}

// A text whose time grows with its square would need minutes here; the limit leaves room for slow, shared machines.
void check_time(const Tokenizer& tokenizer) {
  constexpr size_t kSize = 1 << 19;
  constexpr double kLimitSeconds = 10;
  std::vector<std::string> texts;
  for (const char* unit : {"a", "A", " ", "\n", "\t \n ", " \r", "1", "!", "!?", "/\n", "\xE4\xB8\xAD", "\xE4\xB8\xAD" "A",
                           "\xCC\x81", "\xF0\x9F\x98\x80", "\xC2\xA0", "\xE2\x80\xA8", "'s", "\xFF", "\xE4", "aB", " A"}) {
    texts.push_back(repeat(unit, kSize));
  }
  texts.push_back(repeat(" ", kSize) + "x");
  texts.push_back("\n" + repeat(" ", kSize) + "x");
  texts.push_back("\xE4\xB8\xAD" + repeat("A", kSize));
  texts.push_back("\xCC\x81" + repeat("A", kSize));
  texts.push_back(repeat("A", kSize) + "\xE4\xB8\xAD" + repeat("A", kSize));
  std::mt19937 random(2);
  for (const std::string_view letters : {std::string_view("abcdefghijklmnopqrstuvwxyz"), std::string_view("ABab"),
                                         std::string_view("!?.,;:-_=+()[]{}")}) {
    std::string& text = texts.emplace_back(kSize, ' ');
    for (char& letter : text) letter = letters[random() % letters.size()];
  }
  std::string& bytes = texts.emplace_back(kSize, ' ');
  for (char& byte : bytes) byte = static_cast<char>(random());

  for (const std::string& text : texts) {
    const auto start = std::chrono::steady_clock::now();
    const Ids ids = encode(tokenizer, text);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    if (!CHECK(seconds.count() < kLimitSeconds)) std::fprintf(stderr, "%.1f s: %s\n", seconds.count(), text.substr(0, 8).c_str());
    CHECK(decode(tokenizer, ids) == text);
  }
}

void check_threads(const Tokenizer& tokenizer, const std::vector<Case>& cases) {
  std::vector<std::thread> threads;
  std::vector<int> wrong(4, 0);
  for (int& count : wrong) {
    threads.emplace_back([&tokenizer, &cases, &count] {
      for (const Case& item : cases) count += encode(tokenizer, item.text) != item.ids;
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const int count : wrong) CHECK_EQ(count, 0);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: tokenizer_test RANKS.tiktoken GOLDEN.json\n");
    return 2;
  }
  std::unique_ptr<Tokenizer> tokenizer;
  if (!CHECK_OK(Tokenizer::load_tiktoken(
          argv[1], {{"<|endoftext|>", 199999}, {"<|end|>", 200007}, {"<|call|>", 200012}}, &tokenizer))) {
    return check_result();
  }
  const std::filesystem::path golden = argv[2];
  std::vector<Case> cases = read_cases(golden.string());
  CHECK_EQ(cases.size(), 120u);
  const std::filesystem::path folder = golden.parent_path().parent_path() / "tokenizer";
  for (const auto& [file, count] : {std::pair{"cases.json", 200u}, {"differential.json", 91u}}) {
    const std::vector<Case> more = read_cases((folder / file).string());
    CHECK_EQ(more.size(), count);
    cases.insert(cases.end(), more.begin(), more.end());
  }

  check_threads(*tokenizer, cases);  // first, so that they meet in what is made on first use
  check_cases(*tokenizer, cases);
  check_specials(*tokenizer);
  check_any_bytes(*tokenizer);
  check_both_formats(*tokenizer, cases);
  check_time(*tokenizer);
  return check_result();
}
