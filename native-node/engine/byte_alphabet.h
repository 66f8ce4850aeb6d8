// The alphabet that byte-level tokenizers spell their tokens in.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "status.h"
#include "tokenizer_tables.h"

namespace switchyard {

// The alphabet GPT-2 writes bytes in: printable Latin-1 stands for itself, the other bytes are U+0100 onwards.
class ByteAlphabet {
 public:
  ByteAlphabet() {
    bytes_.fill(-1);
    int next = 256;
    for (int byte = 0; byte < 256; byte++) {
      const bool printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte != 173);
      bytes_[printable ? byte : next++] = static_cast<int16_t>(byte);
    }
  }

  // Appends the bytes that `text`, UTF-8, spells; false when it has anything outside the alphabet.
  bool decode(std::string_view text, std::string* out) const {
    for (size_t i = 0; i < text.size(); i++) {
      uint32_t point = static_cast<unsigned char>(text[i]);
      if (point >= 0x80) {
        // Three bytes or more are far beyond the alphabet; the second of two may be missing.
        if (point < 0xC2 || point >= 0xE0 || ++i == text.size()) return false;
        const uint32_t next = static_cast<unsigned char>(text[i]);
        if (next >> 6 != 2) return false;
        point = (point & 0x1F) << 6 | (next & 0x3F);
      }
      if (point >= bytes_.size() || bytes_[point] < 0) return false;
      out->push_back(static_cast<char>(bytes_[point]));
    }
    return true;
  }

 private:
  std::array<int16_t, 324> bytes_;
};

// A merge of two spelled tokens. The Status says what is wrong, not where.
inline Status add_spelled_merge(const ByteAlphabet& alphabet, std::string_view left, std::string_view right, uint32_t priority,
                                TokenizerTables* tables) {
  std::string bytes;
  const auto bad = [](const char* what) { return Status::error(Code::invalid_file, what); };
  if (!alphabet.decode(left, &bytes)) return bad("a merge outside the byte-level alphabet");
  const size_t middle = bytes.size();
  if (!alphabet.decode(right, &bytes)) return bad("a merge outside the byte-level alphabet");
  const std::string_view whole = bytes;
  const int32_t left_id = tables->find(whole.substr(0, middle)), right_id = tables->find(whole.substr(middle));
  const int32_t id = tables->find(whole);
  if (left_id < 0 || right_id < 0 || id < 0) return bad("a merge names a token the vocabulary does not have");
  tables->add_merge(left_id, right_id, {priority, id});
  return {};
}

}  // namespace switchyard
