#include "tokenizer_tables.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace switchyard {
namespace {

constexpr uint64_t kMultiplier = 0x9E3779B97F4A7C15;

uint64_t load(const char* p, size_t bytes) {
  uint64_t word = 0;
  std::memcpy(&word, p, bytes);
  return word;
}

uint64_t mix(uint64_t hash, uint64_t word) {
  hash = (hash ^ word) * kMultiplier;
  return hash ^ hash >> 32;
}

uint32_t hash_of(std::string_view bytes) {
  const char* p = bytes.data();
  size_t left = bytes.size();
  uint64_t hash = left * kMultiplier;
  for (; left >= 8; p += 8, left -= 8) hash = mix(hash, load(p, 8));
  // The tail in loads of fixed size, which may overlap.
  if (left >= 4) {
    hash = mix(hash, load(p, 4) | load(p + left - 4, 4) << 32);
  } else if (left >= 2) {
    hash = mix(hash, load(p, 2) | load(p + left - 2, 2) << 16);
  } else if (left == 1) {
    hash = mix(hash, load(p, 1));
  }
  return static_cast<uint32_t>(hash >> 8);
}

uint64_t pair_of(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

}  // namespace

int32_t TokenizerTables::find(std::string_view bytes) const {
  if (token_slots_.empty()) return -1;
  const uint32_t hash = hash_of(bytes);
  const size_t mask = token_slots_.size() - 1;
  for (size_t i = hash & mask; token_slots_[i].id >= 0; i = (i + 1) & mask) {
    if (token_slots_[i].hash == hash && bytes_of(token_slots_[i].id) == bytes) return token_slots_[i].id;
  }
  return -1;
}

void TokenizerTables::insert(int32_t id) {
  const uint32_t hash = hash_of(bytes_of(id));
  const size_t mask = token_slots_.size() - 1;
  size_t i = hash & mask;
  while (token_slots_[i].id >= 0) i = (i + 1) & mask;
  token_slots_[i] = {hash, id};
}

void TokenizerTables::index_tokens(size_t count) {
  const size_t wanted = std::bit_ceil(std::max<size_t>(count * 2, 1024));
  if (wanted <= token_slots_.size()) return;
  const std::vector<TokenSlot> old(std::move(token_slots_));
  token_slots_.assign(wanted, {});
  for (const TokenSlot& slot : old) {
    if (slot.id >= 0) insert(slot.id);
  }
}

Status TokenizerTables::add_token(std::string_view bytes, int64_t id, bool special) {
  const auto bad = [](std::string what) { return Status::error(Code::invalid_file, std::move(what)); };
  if (bytes.empty()) return bad("an empty token");
  if (id < 0 || id > kMaxTokenId) return bad("token id " + std::to_string(id) + " is not within 0.." + std::to_string(kMaxTokenId));
  const auto index = static_cast<int32_t>(id);
  if (index < size() && tokens_[index].length != 0) return bad("token id " + std::to_string(id) + " is given twice");
  if (bytes.size() > INT32_MAX || bytes_.size() + bytes.size() > UINT32_MAX) return bad("the vocabulary is larger than 4 GiB");
  if (special ? special_ids.contains(bytes) : find(bytes) >= 0) return bad("a token is given twice");
  if (index >= size()) tokens_.resize(static_cast<size_t>(index) + 1);
  tokens_[index].offset = static_cast<uint32_t>(bytes_.size());
  tokens_[index].length = static_cast<uint32_t>(bytes.size()) & 0x7FFFFFFF;
  tokens_[index].special = special;
  bytes_.append(bytes);
  if (special) {
    special_ids.emplace(bytes, index);
    specials.emplace_back(bytes, index);
    return {};
  }
  index_tokens(++token_count_);
  insert(index);
  if (bytes.size() == 1) byte_ids[static_cast<unsigned char>(bytes[0])] = index;
  return {};
}

Status TokenizerTables::finish_tokens() {
  std::sort(specials.begin(), specials.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  for (size_t byte = 0; byte < byte_ids.size(); byte++) {
    if (byte_ids[byte] < 0) {
      return Status::error(Code::invalid_file, "the byte " + std::to_string(byte) + " has no token of its own");
    }
  }
  return {};
}

void TokenizerTables::start_merges(size_t count) {
  const size_t slots = std::bit_ceil(std::max<size_t>(count * 2, 16));
  merge_slots_.assign(slots, {});
  merge_shift_ = 64 - std::countr_zero(slots);
}

// The slot that holds the pair, or the empty one where it would go.
size_t TokenizerTables::slot_of(uint64_t pair) const {
  const size_t mask = merge_slots_.size() - 1;
  // Two rounds: with one, pairs of neighbouring ids fall into neighbouring slots.
  size_t i = ((pair ^ pair >> 32) * kMultiplier ^ pair) * kMultiplier >> merge_shift_;
  while (merge_slots_[i].pair != pair && merge_slots_[i].pair != UINT64_MAX) i = (i + 1) & mask;
  return i;
}

void TokenizerTables::add_merge(int32_t left, int32_t right, Merge merge) {
  MergeSlot& slot = merge_slots_[slot_of(pair_of(left, right))];
  slot.pair = pair_of(left, right);
  slot.merge = merge;
}

TokenizerTables::Merge TokenizerTables::merge_of(int32_t left, int32_t right) const {
  return merge_slots_[slot_of(pair_of(left, right))].merge;
}

}  // namespace switchyard
