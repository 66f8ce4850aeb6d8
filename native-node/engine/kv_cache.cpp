#include "kv_cache.h"

#include <sys/mman.h>

#include <algorithm>
#include <new>

namespace switchyard {
namespace {

size_t block_bytes_of(const ModelConfig& config, size_t element_bytes) {
  return 2 * config.kv_size() * kBlockTokens * element_bytes;
}

int64_t blocks_of(int64_t tokens) { return (tokens + int64_t(kBlockTokens) - 1) / int64_t(kBlockTokens); }

// The most blocks a sliding layer holds at once: the window's earlier positions and one step, not aligned to blocks.
int64_t sliding_blocks_of(int64_t tokens, int64_t window, int64_t step) {
  return std::min(blocks_of(tokens), blocks_of(window - 1 + step) + 1);
}

int64_t blocks_for(int64_t full_layers, int64_t sliding_layers, int64_t window, int64_t tokens, int64_t step) {
  return full_layers * blocks_of(tokens) + sliding_layers * sliding_blocks_of(tokens, window, step);
}

}  // namespace

Status KvCache::create(const ModelConfig& config, size_t element_bytes, int64_t bytes, std::unique_ptr<KvCache>* out) {
  std::unique_ptr<KvCache> cache(new KvCache());
  cache->element_bytes_ = element_bytes;
  cache->head_bytes_ = kBlockTokens * size_t(config.head_dim) * element_bytes;
  cache->block_bytes_ = block_bytes_of(config, element_bytes);
  cache->num_layers_ = config.is_sliding.size();
  cache->num_sliding_ = size_t(std::count(config.is_sliding.begin(), config.is_sliding.end(), true));
  cache->window_ = size_t(config.sliding_window);
  cache->is_sliding_ = config.is_sliding;
  cache->total_blocks_ = std::min<uint64_t>(uint64_t(std::max<int64_t>(bytes, 0)) / cache->block_bytes_, UINT32_MAX);
  if (cache->total_blocks_ < cache->num_layers_) {
    return Status::error(Code::invalid_argument, "kv_bytes " + std::to_string(bytes) + " is below " +
                                                     std::to_string(cache->num_layers_ * cache->block_bytes_) +
                                                     ", one block of every layer");
  }
  void* memory = mmap(nullptr, cache->total_blocks_ * cache->block_bytes_, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED)
    return Status::error(Code::out_of_memory, "cannot reserve " + std::to_string(bytes) + " bytes for the KV cache");
#ifdef MADV_HUGEPAGE
  madvise(memory, cache->total_blocks_ * cache->block_bytes_,
          MADV_HUGEPAGE);  // fewer TLB misses at long context; may be refused
#endif
  cache->memory_ = static_cast<uint8_t*>(memory);
  cache->free_.resize(cache->total_blocks_);
  for (size_t i = 0; i < cache->total_blocks_; ++i) cache->free_[i] = uint32_t(cache->total_blocks_ - 1 - i);
  cache->uses_.resize(cache->total_blocks_);
  *out = std::move(cache);
  return {};
}

KvCache::~KvCache() {
  if (memory_) munmap(memory_, total_blocks_ * block_bytes_);
}

int64_t KvCache::bytes_for(const ModelConfig& config, size_t element_bytes, int64_t tokens, int64_t step) {
  const int64_t sliding = std::count(config.is_sliding.begin(), config.is_sliding.end(), true);
  const int64_t full = int64_t(config.is_sliding.size()) - sliding;
  return blocks_for(full, sliding, config.sliding_window, tokens, step) *
         int64_t(block_bytes_of(config, element_bytes));
}

int64_t KvCache::blocks_needed(int64_t tokens, int64_t step) const {
  return blocks_for(int64_t(num_layers_ - num_sliding_), int64_t(num_sliding_), int64_t(window_), tokens, step);
}

int64_t KvCache::capacity_tokens(int64_t step) const {
  const auto fits = [&](int64_t blocks) {
    return blocks_needed(blocks * int64_t(kBlockTokens), step) <= int64_t(total_blocks_);
  };
  int64_t low = 0, high = int64_t(1) << 32;  // in blocks; more tokens than any context
  while (low < high) {
    const int64_t middle = (low + high + 1) / 2;
    if (fits(middle))
      low = middle;
    else
      high = middle - 1;
  }
  return low * int64_t(kBlockTokens);
}

bool KvCache::make_free(size_t blocks) {
  if (blocks > available_blocks()) return false;
  while (blocks > free_.size() && reclaim_some_ && reclaim_some_()) {
  }
  return blocks <= free_.size();
}

uint32_t KvCache::take() {
  const uint32_t block = free_.back();
  free_.pop_back();
  uses_[block].sequences = 1;
  return block;
}

void KvCache::share(uint32_t block) {
  Use& use = uses_[block];
  if (use.sequences++ == 0) --only_kept_;
}

void KvCache::give_back(uint32_t block) {
  Use& use = uses_[block];
  if (--use.sequences > 0) return;
  if (use.kept > 0) {
    ++only_kept_;
  } else {
    free_.push_back(block);
  }
}

void KvCache::keep(uint32_t block) { ++uses_[block].kept; }

void KvCache::unkeep(uint32_t block) {
  Use& use = uses_[block];
  if (--use.kept > 0 || use.sequences > 0) return;
  --only_kept_;
  free_.push_back(block);
}

bool BlockTable::extend(size_t begin, size_t end) {
  const size_t window = cache_->window_;
  const size_t first_visible = begin + 1 > window ? (begin + 1 - window) / kBlockTokens : 0;
  const size_t last = (end + kBlockTokens - 1) / kBlockTokens;
  size_t needed = 0;
  for (size_t i = 0; i < layers_.size(); ++i) {
    Layer& layer = layers_[i];
    if (cache_->is_sliding_[i] && first_visible > layer.first) {
      const size_t gone = std::min(first_visible - layer.first, layer.blocks.size());
      for (size_t block = 0; block < gone; ++block) cache_->give_back(layer.blocks[block]);
      layer.blocks.erase(layer.blocks.begin(), layer.blocks.begin() + ptrdiff_t(gone));
      layer.first = first_visible;
    }
    const size_t have = layer.first + layer.blocks.size();
    if (last > have) needed += last - have;
    layer.blocks.reserve(layer.blocks.size() + (last > have ? last - have : 0));  // a block that was taken has its place
  }
  if (!cache_->make_free(needed)) return false;
  for (Layer& layer : layers_) {
    while (layer.first + layer.blocks.size() < last) layer.blocks.push_back(cache_->take());
  }
  return true;
}

void BlockTable::adopt(size_t layer, size_t first, std::vector<uint32_t> blocks) {
  for (const uint32_t block : blocks) cache_->share(block);
  layers_[layer] = {first, std::move(blocks)};
}

void BlockTable::release() {
  for (Layer& layer : layers_) {
    for (const uint32_t block : layer.blocks) cache_->give_back(block);
    layer.blocks.clear();
    layer.first = 0;
  }
}

size_t BlockTable::held_blocks() const {
  size_t held = 0;
  for (const Layer& layer : layers_) held += layer.blocks.size();
  return held;
}

}  // namespace switchyard
