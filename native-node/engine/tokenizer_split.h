// Cuts text into the pieces that byte-pair merging works on, as the regular expressions of the tokenizer files would:
// each alternative is written out by hand, with the result backtracking would give, in linear time over the text.
// A byte that is not part of valid UTF-8 is a character of class `other` by itself.
#pragma once

#include <cstddef>
#include <string_view>

namespace switchyard {

enum class SplitPattern { o200k, cl100k, gpt2 };

// The pattern a regular expression spells; false when it is none of the known ones.
bool find_split_pattern(std::string_view regex, SplitPattern* out);

// Where the piece that begins at `at` < text.size() ends. Never empty: every pattern matches any character.
size_t piece_end(SplitPattern pattern, std::string_view text, size_t at);

}  // namespace switchyard
