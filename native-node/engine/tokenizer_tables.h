// What a loaded tokenizer knows, in the form encoding needs: bytes of every id, id of every byte string, and what each
// pair of ids merges into. Filled once while loading, only read afterwards.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "status.h"
#include "tokenizer_split.h"

namespace switchyard {

inline constexpr int32_t kMaxTokenId = 1 << 24;

struct TokenizerTables {
  static constexpr uint32_t kNoMerge = UINT32_MAX;
  struct Merge {
    uint32_t priority = kNoMerge;  // lower is merged first
    int32_t id = -1;               // the token the pair becomes
  };

  SplitPattern split = SplitPattern::o200k;
  bool whole_pieces = true;  // a piece that is a token becomes it, whatever the merges would have made of it
  std::array<int32_t, 256> byte_ids;
  std::vector<std::pair<std::string, int32_t>> specials;      // by id
  std::map<std::string, int32_t, std::less<>> special_ids;
  std::vector<int32_t> eos_ids;  // what the file says of them; a tokenizer.json says nothing

  TokenizerTables() { byte_ids.fill(-1); }

  int32_t size() const { return static_cast<int32_t>(tokens_.size()); }
  std::string_view bytes_of(int32_t id) const {
    if (id < 0 || id >= size()) return {};
    return {bytes_.data() + tokens_[id].offset, tokens_[id].length};
  }
  bool is_special(int32_t id) const { return id >= 0 && id < size() && tokens_[id].special; }

  // The ordinary token with these bytes, -1 when there is none.
  int32_t find(std::string_view bytes) const;
  Merge merge_of(int32_t left, int32_t right) const;

  // While loading. The Status says what is wrong, not where: the caller adds the place.
  Status add_token(std::string_view bytes, int64_t id, bool special);
  void index_tokens(size_t count);  // make room for about so many ordinary tokens
  Status finish_tokens();           // after the last token: 256 single bytes must be there, or text could be lost
  void start_merges(size_t count);  // at most so many
  void add_merge(int32_t left, int32_t right, Merge merge);  // the same pair again replaces the earlier one

 private:
  struct Token {
    uint32_t offset = 0;
    uint32_t length : 31 = 0;
    uint32_t special : 1 = 0;
  };
  // Open addressing with linear probing, at most half full, sizes powers of two.
  struct TokenSlot {
    uint32_t hash = 0;
    int32_t id = -1;
  };
  struct MergeSlot {
    uint64_t pair = UINT64_MAX;
    Merge merge;
  };
  void insert(int32_t id);
  size_t slot_of(uint64_t pair) const;

  std::string bytes_;
  std::vector<Token> tokens_;  // by id
  std::vector<TokenSlot> token_slots_;
  size_t token_count_ = 0;
  std::vector<MergeSlot> merge_slots_;
  int merge_shift_ = 64;
};

}  // namespace switchyard
