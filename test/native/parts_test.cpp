// The engine's small parts: rotary frequencies, the paged cache, the thread pool.
#include <atomic>
#include <cmath>
#include <numeric>

#include "check.h"
#include "kv_cache.h"
#include "rope.h"
#include "thread_pool.h"

using namespace switchyard;

namespace {

// gpt-oss-20b's table, computed from the reference implementation's formulas.
void test_rope() {
  constexpr double kReference[] = {1,
                                   0.689044306,
                                   0.474782055,
                                   0.327145872,
                                   0.225418,
                                   0.155322989,
                                   0.107024421,
                                   0.0737445682,
                                   0.0508132748,
                                   0.0317056962,
                                   0.0193350011,
                                   0.0115920493,
                                   0.00679495949,
                                   0.00386035932,
                                   0.00209379238,
                                   0.0010526021,
                                   0.000456483919,
                                   0.000129318701,
                                   3.83088124e-05,
                                   2.6396469e-05,
                                   1.81883367e-05,
                                   1.25325698e-05,
                                   8.63549588e-06,
                                   5.95023926e-06,
                                   4.09997848e-06,
                                   2.82506683e-06,
                                   1.94659621e-06,
                                   1.34129104e-06,
                                   9.2420895e-07,
                                   6.36820915e-07,
                                   4.38797825e-07,
                                   3.02351143e-07};
  const Rope rope(RopeConfig{}, 64);
  CHECK(std::fabs(rope.concentration() - 1.3465735902799727) < 1e-12);
  for (size_t i = 0; i < 32; ++i) CHECK(std::fabs(rope.inverse_frequencies()[i] / kReference[i] - 1) < 1e-6);
  float cos[32], sin[32];
  rope.angles(0, cos, sin);
  CHECK_EQ(cos[31], float(rope.concentration()));
  CHECK_EQ(sin[0], 0.0f);
  rope.angles(100000, cos, sin);
  CHECK(std::fabs(cos[0] - std::cos(100000.0) * rope.concentration()) < 1e-6);

  RopeConfig plain;
  plain.factor = 1;
  const Rope unscaled(plain, 8);
  CHECK_EQ(unscaled.concentration(), 1.0);
  CHECK(std::fabs(unscaled.inverse_frequencies()[2] - std::pow(150000.0, -0.5)) < 1e-15);
}

ModelConfig cache_config() {
  ModelConfig config;
  config.is_sliding = {true, false};
  config.num_hidden_layers = 2;
  config.head_dim = 4;
  config.num_key_value_heads = 3;
  config.sliding_window = 40;
  return config;
}

void test_block_tables() {
  const ModelConfig config = cache_config();
  const size_t block = 2 * 3 * 4 * kBlockTokens * 2;
  std::unique_ptr<KvCache> cache;
  CHECK(KvCache::create(config, 2, int64_t(block), &cache).code == Code::invalid_argument);
  if (!CHECK_OK(KvCache::create(config, 2, int64_t(11 * block), &cache))) return;
  CHECK_EQ(cache->total_blocks(), size_t(11));
  BlockTable table(cache.get());
  CHECK(table.extend(0, 1));
  CHECK_EQ(table.held_blocks(), size_t(2));
  CHECK(table.extend(1, 32));
  CHECK_EQ(table.held_blocks(), size_t(2));
  CHECK(table.extend(32, 100));
  CHECK_EQ(table.held_blocks(), size_t(8));

  // From position 71 on the window begins at 32: the sliding layer's first block goes, the full layer's stays.
  CHECK(table.extend(70, 100));
  CHECK_EQ(table.layer(0).first, size_t(0));
  CHECK(table.extend(71, 100));
  CHECK_EQ(table.layer(0).first, size_t(1));
  CHECK_EQ(table.layer(0).blocks.size(), size_t(3));
  CHECK_EQ(table.layer(1).blocks.size(), size_t(4));

  BlockTable other(cache.get());
  CHECK(other.extend(0, 64));
  CHECK_EQ(cache->free_blocks(), size_t(0));
  CHECK(!other.extend(64, 65));  // nothing is taken by halves
  CHECK_EQ(other.held_blocks(), size_t(4));
  table.release();
  CHECK_EQ(cache->free_blocks(), size_t(7));
  CHECK(other.extend(64, 65));
  CHECK(table.extend(0, 32));

  // Two blocks never share memory.
  for (size_t layer = 0; layer < 2; ++layer) {
    for (const BlockTable* owner : {&table, &other}) {
      for (const uint32_t id : owner->layer(layer).blocks) {
        for (size_t head = 0; head < 3; ++head)
          CHECK(cache->values(id, head) - cache->keys(id, head) == ptrdiff_t(block / 2));
      }
    }
  }
}

// What create() is told a sequence needs is what a sequence fed in steps takes, and no less.
void test_capacity() {
  const ModelConfig config = cache_config();
  for (const int64_t step : {1, 7, 32, 100}) {
    for (const int64_t tokens : {1, 31, 32, 33, 71, 72, 150, 400}) {
      std::unique_ptr<KvCache> cache;
      if (!CHECK_OK(KvCache::create(config, 2, KvCache::bytes_for(config, 2, tokens, step), &cache))) continue;
      CHECK(cache->capacity_tokens(step) >= tokens);
      BlockTable table(cache.get());
      for (int64_t at = 0; at < tokens; at += step)
        CHECK(table.extend(size_t(at), size_t(std::min(tokens, at + step))));
    }
  }
}

void test_thread_count() {
  CHECK(available_threads() >= 1);
  CHECK(threads_within(0, 0) >= 1);
  CHECK_EQ(threads_within(8, 0), 8);
  CHECK_EQ(threads_within(8, 2.5), 2);
  CHECK_EQ(threads_within(2, 1e300), 2);
  CHECK_EQ(threads_within(8, 0.5), 1);  // not all eight, who would use up the quota and then all wait
  CHECK_EQ(threads_within(0, 0.5), 1);
  CHECK_EQ(threads_within(5000, 0), 1024);
}

void test_thread_pool() {
  for (const int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    CHECK_EQ(pool.size(), threads);
    // Many short loops of changing sizes: every item exactly once, none after the loop has returned.
    std::vector<std::atomic<int>> hits(1000);
    for (int round = 0; round < 3000; ++round) {
      const size_t count = size_t(round * 7 % 1000), grain = size_t(1 + round % 13);
      std::atomic<bool> over{false};
      std::atomic<size_t> sum{0};
      pool.parallel_for(count, grain, [&](size_t begin, size_t end, int thread) {
        CHECK(!over && thread < threads && end - begin <= std::max(grain, count) && end <= count);
        for (size_t i = begin; i < end; ++i) hits[i]++;
        sum += end - begin;
      });
      over = true;
      CHECK_EQ(sum.load(), count);
    }
    int total = 0;
    for (const auto& hit : hits) total += hit;
    int expected = 0;
    for (int round = 0; round < 3000; ++round) expected += round * 7 % 1000;
    CHECK_EQ(total, expected);
  }
}

}  // namespace

int main() {
  test_rope();
  test_block_tables();
  test_capacity();
  test_thread_count();
  test_thread_pool();
  return check_result();
}
