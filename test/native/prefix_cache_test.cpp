// The prefix cache over a cache whose blocks say what they hold: whatever sequences come, go on, share, are thrown out and
// come back, a restored table holds what its tokens call for, and every block is counted.
#include "prefix_cache.h"

#include <cstring>
#include <random>
#include <unordered_map>

#include "check.h"

using namespace switchyard;

namespace {

struct Sequence {
  Sequence(KvCache* cache, const std::vector<int32_t>& prompt) : table(cache) {
    for (const int32_t token : prompt) append(token);
  }
  void append(int32_t token) {
    tokens.push_back(token);
    path.push_back(((path.empty() ? 1 : path.back()) ^ uint32_t(token)) * 2654435761u + 1);
  }
  // What the keys of a position hold: all tokens up to it, and the layer.
  uint32_t mark(size_t position, size_t layer) const { return path[position] + uint32_t(layer); }

  std::vector<int32_t> tokens;
  std::vector<uint32_t> path;
  size_t computed = 0;
  BlockTable table;
};

class World {
 public:
  World(const ModelConfig& config, size_t blocks, uint32_t seed) : config_(config), random_(seed) {
    const int64_t block = KvCache::bytes_for(config, sizeof(float), 1, 1) / int64_t(config.is_sliding.size());
    CHECK_OK(KvCache::create(config, sizeof(float), block * int64_t(blocks), &cache_));
    prefixes_ = std::make_unique<PrefixCache>(config, cache_.get());
  }

  size_t hits() const { return hits_; }

  void run(int steps) {
    for (int i = 0; i < steps; ++i) {
      const uint32_t what = random_() % 10;
      if (what < 2 || sequences_.empty()) begin();
      else if (what < 8) step(&sequences_[random_() % sequences_.size()]);
      else if (what < 9) end(random_() % sequences_.size(), true);
      else end(random_() % sequences_.size(), false);
      CHECK(prefixes_->node_count() <= cache_->total_blocks());
    }
    while (!sequences_.empty()) end(0, true);
    CHECK_EQ(cache_->available_blocks(), cache_->total_blocks());
    prefixes_.reset();
    CHECK_EQ(cache_->free_blocks(), cache_->total_blocks());
  }

 private:
  using SequencePtr = std::unique_ptr<Sequence>;

  // Prompts are few and long, so that many begin alike.
  void begin() {
    if (sequences_.size() >= 6) return;
    std::vector<int32_t> tokens;
    for (size_t part = 1 + random_() % 6; part > 0; --part) {
      const int32_t word = int32_t(random_() % 3);
      tokens.insert(tokens.end(), 1 + (random_() % 4 ? 31 : random_() % 70), word);
    }
    SequencePtr sequence = std::make_unique<Sequence>(cache_.get(), tokens);
    sequence->computed = prefixes_->restore(sequence->tokens, sequence->tokens.size() - 1, &sequence->table);
    CHECK(sequence->computed < sequence->tokens.size());
    hits_ += sequence->computed > 0;
    if (sequence->computed > 0) check_visible(*sequence, sequence->computed);
    sequences_.push_back(std::move(sequence));
  }

  void step(SequencePtr* at) {
    Sequence& sequence = **at;
    if (sequence.computed == sequence.tokens.size()) sequence.append(int32_t(random_() % 3));
    const size_t end = std::min(sequence.tokens.size(), sequence.computed + 1 + random_() % 90);
    const size_t available = cache_->available_blocks(), held = sequence.table.held_blocks();
    if (!sequence.table.extend(sequence.computed, end)) {
      CHECK(cache_->available_blocks() >= available);
      CHECK(sequence.table.held_blocks() <= held);
      const size_t victim = random_() % sequences_.size();
      return this->end(victim, false);
    }
    for (size_t position = sequence.computed; position < end; ++position) {
      for (size_t layer = 0; layer < config_.is_sliding.size(); ++layer) {
        const uint32_t mark = sequence.mark(position, layer);
        std::memcpy(cell(sequence, layer, position), &mark, sizeof mark);
      }
    }
    check_visible(sequence, sequence.computed);
    sequence.computed = end;
    if (random_() % 2) prefixes_->remember(sequence.tokens, 1 + random_() % end, sequence.table);
  }

  void end(size_t index, bool remembered) {
    Sequence& sequence = *sequences_[index];
    if (remembered) prefixes_->remember(sequence.tokens, sequence.computed, sequence.table);
    sequences_.erase(sequences_.begin() + ptrdiff_t(index));
  }

  uint8_t* cell(const Sequence& sequence, size_t layer, size_t position) const {
    const BlockTable::Layer& held = sequence.table.layer(layer);
    const size_t block = position / kBlockTokens - held.first;
    if (!CHECK(block < held.blocks.size())) std::abort();
    return cache_->keys(held.blocks[block], 0) + position % kBlockTokens * sizeof(uint32_t);
  }

  // What a row at `position` reads.
  void check_visible(const Sequence& sequence, size_t position) const {
    for (size_t layer = 0; layer < config_.is_sliding.size(); ++layer) {
      const size_t window = size_t(config_.sliding_window);
      const size_t first = config_.is_sliding[layer] && position + 1 > window ? position + 1 - window : 0;
      for (size_t at = first; at < position; ++at) {
        uint32_t mark;
        std::memcpy(&mark, cell(sequence, layer, at), sizeof mark);
        CHECK_EQ(mark, sequence.mark(at, layer));
      }
    }
  }

  const ModelConfig& config_;
  std::mt19937 random_;
  std::unique_ptr<KvCache> cache_;
  std::unique_ptr<PrefixCache> prefixes_;
  std::vector<SequencePtr> sequences_;
  size_t hits_ = 0;
};

ModelConfig one_full_layer() {
  ModelConfig config;
  config.is_sliding = {false};
  config.sliding_window = 128;
  config.num_hidden_layers = config.num_key_value_heads = config.num_attention_heads = 1;
  config.head_dim = 2;
  return config;
}

// A cache of a few blocks, and what it remembers of prompts of one block.
struct Few {
  explicit Few(int64_t blocks) : config(one_full_layer()) {
    CHECK_OK(KvCache::create(config, sizeof(float), KvCache::bytes_for(config, sizeof(float), 1, 1) * blocks, &cache));
    prefixes = std::make_unique<PrefixCache>(config, cache.get());
  }
  void remember(const std::vector<int32_t>& block) {
    BlockTable table(cache.get());
    CHECK(table.extend(0, kBlockTokens));
    prefixes->remember(block, kBlockTokens, table);
  }
  size_t restored(const std::vector<int32_t>& block) {
    BlockTable table(cache.get());
    return prefixes->restore(block, kBlockTokens, &table);
  }
  ModelConfig config;
  std::unique_ptr<KvCache> cache;
  std::unique_ptr<PrefixCache> prefixes;
};

// Room is made of what was asked for longest ago, not of what was remembered first.
void test_what_is_asked_for_stays() {
  Few few(3);
  const std::vector<int32_t> first(kBlockTokens, 1), second(kBlockTokens, 2);
  few.remember(first);
  few.remember(second);
  CHECK_EQ(few.restored(first), kBlockTokens);
  {
    BlockTable table(few.cache.get());
    CHECK(table.extend(0, 2 * kBlockTokens));
  }
  CHECK_EQ(few.restored(first), kBlockTokens);
  CHECK_EQ(few.restored(second), size_t(0));
}

// Somebody's keys and values are not given to another prompt because its hash is the same.
void test_one_hash() {
  // Two beginnings whose hashes differ in their lower halves alone, which the next token makes up for.
  std::mt19937 random(1);
  std::unordered_map<uint32_t, std::vector<int32_t>> seen;
  std::vector<int32_t> prompt, other;
  for (int tries = 0; prompt.empty() && tries < 1 << 20; ++tries) {
    const std::vector<int32_t> begun{int32_t(random() >> 1), int32_t(random() >> 1)};
    const auto [found, is_new] = seen.emplace(uint32_t(path_hash(0, begun) >> 32), begun);
    if (!is_new) prompt = found->second, other = begun;
  }
  other.push_back(int32_t(uint32_t(path_hash(0, prompt) ^ path_hash(0, other))));
  prompt.resize(kBlockTokens);
  other.resize(kBlockTokens);
  CHECK(prompt != other);
  CHECK_EQ(path_hash(0, prompt), path_hash(0, other));
  Few few(4);
  few.remember(prompt);
  CHECK_EQ(few.restored(prompt), kBlockTokens);
  CHECK_EQ(few.restored(other), size_t(0));
  few.remember(other);
  CHECK_EQ(few.restored(other), kBlockTokens);
  CHECK_EQ(few.restored(prompt), kBlockTokens);
}

}  // namespace

int main(int count, char** arguments) {
  test_what_is_asked_for_stays();
  test_one_hash();
  const uint32_t rounds = count > 1 ? uint32_t(std::stoul(arguments[1])) : 3;
  const std::vector<bool> kinds[] = {{true, false, true}, {false}, {true, true}};
  for (const std::vector<bool>& is_sliding : kinds) {
    for (const int window : {1, 2, 7, 16, 20, 31, 32, 33, 34, 64, 128, 100000}) {
      ModelConfig config;
      config.is_sliding = is_sliding;
      config.sliding_window = window;
      config.num_hidden_layers = int(is_sliding.size());
      config.num_key_value_heads = 1;
      config.num_attention_heads = 1;
      config.head_dim = 2;
      size_t hits = 0;
      for (uint32_t round = 0; round < rounds; ++round) {
        World world(config, 12 + round * 17 % 90, round + 1);
        world.run(300);
        hits += world.hits();
      }
      CHECK(hits > 0);
    }
  }
  return check_result();
}
