#include "tokenizer.h"

#include <algorithm>
#include <array>
#include <functional>

#include "tokenizer_tables.h"

namespace switchyard {
namespace {

using Merge = TokenizerTables::Merge;

// Up to this many bytes, looking at every pair for each merge is faster than keeping a heap of them.
constexpr size_t kShortPiece = 64;

void merge_short(const TokenizerTables& tables, std::string_view piece, std::vector<int32_t>* ids) {
  std::array<int32_t, kShortPiece> parts;
  std::array<Merge, kShortPiece> merges;  // of part i with the next
  size_t count = piece.size();
  for (size_t i = 0; i < count; i++) parts[i] = tables.byte_ids[static_cast<unsigned char>(piece[i])];
  for (size_t i = 0; i + 1 < count; i++) merges[i] = tables.merge_of(parts[i], parts[i + 1]);
  while (count > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < count; i++) {
      if (merges[i].priority < merges[best].priority) best = i;  // of equals, the leftmost
    }
    if (merges[best].priority == TokenizerTables::kNoMerge) break;
    parts[best] = merges[best].id;
    std::copy(parts.begin() + best + 2, parts.begin() + count, parts.begin() + best + 1);
    std::copy(merges.begin() + best + 1, merges.begin() + count - 1, merges.begin() + best);
    count--;
    if (best > 0) merges[best - 1] = tables.merge_of(parts[best - 1], parts[best]);
    if (best + 1 < count) merges[best] = tables.merge_of(parts[best], parts[best + 1]);
  }
  ids->insert(ids->end(), parts.begin(), parts.begin() + count);
}

// Places within a piece fit 32 bits. Longer pieces, which no real text has, are merged in parts of this size.
constexpr size_t kLongestPiece = 1u << 30;

// The same result in O(n log n): a linked list of parts and a heap of the pairs that may merge.
class LongPiece {
 public:
  LongPiece(const TokenizerTables& tables, std::string_view piece) : tables_(tables), parts_(piece.size()) {
    const auto count = static_cast<uint32_t>(piece.size());
    for (uint32_t i = 0; i < count; i++) {
      parts_[i].id = tables.byte_ids[static_cast<unsigned char>(piece[i])];
      parts_[i].previous = i == 0 ? kNone : i - 1;
      parts_[i].next = i + 1 == count ? kNone : i + 1;
    }
    for (uint32_t i = 0; i < count; i++) {
      if (find_merge(i)) heap_.push_back(entry_of(i));
    }
    std::make_heap(heap_.begin(), heap_.end(), std::greater<>());
  }

  void merge_all(std::vector<int32_t>* ids) {
    while (!heap_.empty()) {
      const uint64_t entry = heap_.front();
      std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
      heap_.pop_back();
      // An entry outlives its pair; then the part is gone, or now merges at another priority.
      const auto at = static_cast<uint32_t>(entry);
      if (parts_[at].merge.priority == entry >> 32) merge(at);
    }
    for (uint32_t i = 0; i != kNone; i = parts_[i].next) ids->push_back(parts_[i].id);
  }

 private:
  static constexpr uint32_t kNone = UINT32_MAX;
  struct Part {
    uint32_t previous, next;
    int32_t id;
    Merge merge;  // with the next part
  };

  // Priority, then place: of equals, the leftmost comes first.
  uint64_t entry_of(uint32_t at) const { return static_cast<uint64_t>(parts_[at].merge.priority) << 32 | at; }

  bool find_merge(uint32_t at) {
    Part& part = parts_[at];
    part.merge = part.next == kNone ? Merge() : tables_.merge_of(part.id, parts_[part.next].id);
    return part.merge.priority != TokenizerTables::kNoMerge;
  }

  void update(uint32_t at) {
    if (!find_merge(at)) return;
    heap_.push_back(entry_of(at));
    std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
  }

  void merge(uint32_t at) {
    Part& part = parts_[at];
    Part& gone = parts_[part.next];
    part.id = part.merge.id;
    part.next = gone.next;
    gone.merge = {};
    if (part.next != kNone) parts_[part.next].previous = at;
    update(at);
    if (part.previous != kNone) update(part.previous);
  }

  const TokenizerTables& tables_;
  std::vector<Part> parts_;
  std::vector<uint64_t> heap_;
};

}  // namespace

Tokenizer::Tokenizer(std::unique_ptr<const TokenizerTables> tables) : tables_(std::move(tables)) {}
Tokenizer::~Tokenizer() = default;

void Tokenizer::encode(std::string_view utf8, std::vector<int32_t>* ids) const {
  for (size_t at = 0; at < utf8.size();) {
    const size_t end = std::min(piece_end(tables_->split, utf8, at), at + kLongestPiece);
    const std::string_view piece = utf8.substr(at, end - at);
    at = end;
    if (tables_->whole_pieces) {
      if (const int32_t id = tables_->find(piece); id >= 0) {
        ids->push_back(id);
        continue;
      }
    }
    if (piece.size() <= kShortPiece) {
      merge_short(*tables_, piece, ids);
    } else {
      LongPiece(*tables_, piece).merge_all(ids);
    }
  }
}

std::string_view Tokenizer::token_bytes(int32_t id) const { return tables_->bytes_of(id); }

bool Tokenizer::is_special(int32_t id) const { return tables_->is_special(id); }

int32_t Tokenizer::special_id(std::string_view name) const {
  const auto found = tables_->special_ids.find(name);
  return found == tables_->special_ids.end() ? -1 : found->second;
}

const std::vector<std::pair<std::string, int32_t>>& Tokenizer::specials() const { return tables_->specials; }

int32_t Tokenizer::vocab_size() const { return tables_->size(); }

const std::vector<int32_t>& Tokenizer::eos_ids() const { return tables_->eos_ids; }

}  // namespace switchyard
