// Where the split patterns cut. The pieces are those of the Python package regex, given the patterns' own text with \s
// read as White_Space.
#include "tokenizer_split.h"

#include <cstdlib>
#include <string>
#include <vector>

#include "check.h"

using namespace switchyard;

namespace {

struct Case {
  SplitPattern pattern;
  std::vector<std::string> pieces;
};

const std::vector<Case> kCases = {
    {SplitPattern::o200k, {"Hello", ",", " World's", " ", " end", "!!\012\012", " ", " x"}},
    {SplitPattern::o200k, {"I'LL", " don't", " '", "S", " \305\277'\305\277"}},
    {SplitPattern::o200k, {"123", "456", "7", " ", "12", " ", "\331\243\331\244"}},
    {SplitPattern::o200k, {"a\314\201b", " \314\201\314\201", "!"}},
    {SplitPattern::o200k, {"  \012", " \011", " x", "\343\200\200", "\343\200\200y"}},
    {SplitPattern::o200k, {"\012\012", "x", "\015\012", " "}},
    {SplitPattern::o200k, {"   "}},
    {SplitPattern::o200k, {"!\012\012/", " //\012"}},
    {SplitPattern::o200k, {"\344\270\255\346\226\207", "ABC", " \344\270\255", "A"}},
    {SplitPattern::o200k, {"ABCdef", " XMLHttp'Re"}},
    {SplitPattern::o200k, {"<|", "end", "|>", " \360\237\230\200", "x"}},
    {SplitPattern::o200k, {"x", " \302\240\302\205", " y'll"}},
    // Letters of Unicode 16 (U+1C89, U+1C8A, U+A7CB), and of 17 (U+088F, U+16EA0), which tiktoken does not know yet.
    {SplitPattern::o200k, {"\341\262\212b", " \341\262\211\341\262\212's", "\352\237\213a"}},
    {SplitPattern::o200k, {"a", "\340\242\217b", " \360\226\272\240'", "s", "\360\226\272\240\n"}},
    {SplitPattern::cl100k, {"Hello", ",", " World", "'s", " ", " end", "!!\012\012", " ", " x"}},
    {SplitPattern::cl100k, {"I", "'LL", " don", "'t", " '", "S", " \305\277", "'\305\277"}},
    {SplitPattern::cl100k, {"123", "456", "7", " ", "12", " ", "\331\243\331\244"}},
    {SplitPattern::cl100k, {"a", "\314\201b", " \314\201\314\201!"}},
    {SplitPattern::cl100k, {"  \012", " \011", " x", "\343\200\200", "\343\200\200y"}},
    {SplitPattern::cl100k, {"\012\012", "x", "\015\012", " "}},
    {SplitPattern::cl100k, {"   "}},
    {SplitPattern::cl100k, {"!\012\012", "/", " //\012"}},
    {SplitPattern::cl100k, {"\344\270\255\346\226\207ABC", " \344\270\255A"}},
    {SplitPattern::cl100k, {"ABCdef", " XMLHttp", "'Re"}},
    {SplitPattern::cl100k, {"<|", "end", "|>", " \360\237\230\200", "x"}},
    {SplitPattern::cl100k, {"x", " \302\240\302\205", " y", "'ll"}},
    {SplitPattern::gpt2, {"Hello", ",", " World", "'s", " ", " end", "!!", "\012\012 ", " x"}},
    {SplitPattern::gpt2, {"I", "'", "LL", " don", "'t", " '", "S", " \305\277", "'", "\305\277"}},
    {SplitPattern::gpt2, {"1234567", " 12", " \331\243\331\244"}},
    {SplitPattern::gpt2, {"a", "\314\201", "b", " \314\201\314\201!"}},
    {SplitPattern::gpt2, {"  \012 \011", " x", "\343\200\200", "\343\200\200", "y"}},
    {SplitPattern::gpt2, {"\012", "\012", "x", "\015\012 "}},
    {SplitPattern::gpt2, {"   "}},
    {SplitPattern::gpt2, {"!", "\012", "\012", "/", " //", "\012"}},
    {SplitPattern::gpt2, {"\344\270\255\346\226\207ABC", " \344\270\255A"}},
    {SplitPattern::gpt2, {"ABCdef", " XMLHttp", "'", "Re"}},
    {SplitPattern::gpt2, {"<|", "end", "|>", " \360\237\230\200", "x"}},
    {SplitPattern::gpt2, {"x", " \302\240\302\205", " y", "'ll"}},
};

// exit() ends statics in the reverse order of their making: what was registered before the first piece comes after all
// of them, as a thread does that still encodes when its process exits.
void encode_at_exit() {
  std::string text = "Text";
  text += "\xE4\xB8\xAD";
  if (piece_end(SplitPattern::o200k, text, 0) != text.size()) std::_Exit(1);
}

}  // namespace

int main() {
  std::atexit(encode_at_exit);
  for (const Case& item : kCases) {
    std::string text;
    for (const std::string& piece : item.pieces) text += piece;
    size_t at = 0;
    for (const std::string& piece : item.pieces) {
      if (!CHECK(at < text.size())) break;
      const size_t end = piece_end(item.pattern, text, at);
      if (!CHECK_EQ(text.substr(at, end - at), piece)) break;
      at = end;
    }
  }
  // A byte outside UTF-8 is a symbol of its own; so are cut-off, overlong and surrogate sequences.
  for (const std::string bytes : {"\xFF", "\xC3", "\xE4\xB8", "\xC0\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80"}) {
    CHECK_EQ(piece_end(SplitPattern::o200k, bytes + " ", 0), bytes.size());
    CHECK_EQ(piece_end(SplitPattern::o200k, " " + bytes + "1", 0), bytes.size() + 1);
  }
  SplitPattern ignored;
  CHECK(!find_split_pattern("\\w+", &ignored));
  return check_result();
}
