// Finds where the last tokens of one text stood before in another, or earlier in the same: what followed there is a good
// guess of what follows now. Chains of equal hashes, newest first, as a dictionary compressor keeps them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace switchyard {

class NgramIndex {
 public:
  static constexpr size_t kGram = 2;      // tokens that must agree at least
  static constexpr size_t kLongest = 32;  // and are counted at most

  struct Match {
    size_t at = 0;      // of the indexed text: what followed
    size_t length = 0;  // tokens that agree before it; 0: none
  };

  // Makes `text`, of which only the end may have grown since the last call, findable up to `end`.
  void add(std::span<const int32_t> text, size_t end);

  // The place in `text`, as it was added, behind the longest beginning-to-end match with the last tokens of `context`; of
  // equals where the match found before goes on, then the newest. Looks at a bounded number of places.
  Match find(std::span<const int32_t> text, std::span<const int32_t> context);

 private:
  size_t slot(const int32_t* end) const;
  void link(std::span<const int32_t> text, size_t end);

  std::vector<uint32_t> heads_;  // (a power of two), by hash: the newest end of such a gram, 0: none
  std::vector<uint32_t> links_;  // by end: the one before
  size_t indexed_ = 0;           // ends up to here are in
  size_t last_at_ = 0, last_context_ = 0;  // of the match found before, and how long the context was
};

}  // namespace switchyard
