#include "ngram_index.h"

#include <algorithm>

namespace switchyard {
namespace {

constexpr size_t kMostPlaces = 32;  // of a chain that are looked at
constexpr size_t kLeastSlots = 1024;

size_t agreeing(std::span<const int32_t> text, size_t end, std::span<const int32_t> context) {
  const size_t most = std::min({end, context.size(), NgramIndex::kLongest});
  size_t length = 0;
  while (length < most && text[end - 1 - length] == context[context.size() - 1 - length]) ++length;
  return length;
}

}  // namespace

size_t NgramIndex::slot(const int32_t* end) const {
  uint64_t hash = 0;
  for (size_t i = 1; i <= kGram; ++i) hash = (hash ^ uint32_t(end[-ptrdiff_t(i)])) * 0x9e3779b97f4a7c15u;
  return size_t(hash >> 32) & (heads_.size() - 1);
}

void NgramIndex::link(std::span<const int32_t> text, size_t end) {
  uint32_t& head = heads_[slot(text.data() + end)];
  links_[end] = head;
  head = uint32_t(end);
}

void NgramIndex::add(std::span<const int32_t> text, size_t end) {
  if (end <= indexed_) return;
  links_.resize(end + 1);
  if (heads_.size() < end) {
    size_t slots = std::max(heads_.size(), kLeastSlots);
    while (slots < end) slots *= 2;
    std::vector<uint32_t>(slots, 0).swap(heads_);
    indexed_ = 0;
  }
  for (size_t at = std::max(indexed_ + 1, kGram); at <= end; ++at) link(text, at);
  indexed_ = end;
}

NgramIndex::Match NgramIndex::find(std::span<const int32_t> text, std::span<const int32_t> context) {
  Match best;
  if (context.size() < kGram || indexed_ < kGram) return best;
  const auto look = [&](size_t end) {
    const size_t length = agreeing(text, end, context);
    if (length >= kGram && length > best.length) best = {end, length};
  };
  if (last_at_ > 0 && context.size() >= last_context_) {
    const size_t on = last_at_ + (context.size() - last_context_);
    if (on <= indexed_) look(on);
  }
  size_t places = kMostPlaces;
  for (size_t end = heads_[slot(context.data() + context.size())]; end > 0 && places > 0 && best.length < kLongest;
       end = links_[end], --places)
    look(end);
  if (best.length > 0) last_at_ = best.at, last_context_ = context.size();
  return best;
}

}  // namespace switchyard
