// The transformer: token rows of any mix of sequences in, logits out. One call is one step of the scheduler.
// Every row's result is the same whatever else is in the call, on any number of threads: bit for bit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "attention.h"
#include "engine.h"
#include "kv_cache.h"
#include "matmul.h"
#include "rope.h"
#include "screened_head.h"
#include "weights.h"

namespace switchyard {

// exact: f32 activations and cache. bf16: both bf16. fast: i8 activations against MXFP4, else bf16.
// The residual stream, norms, the router, softmax and all sums are f32 in every mode.
size_t kv_element_bytes(Mode mode);

class Forward {
 public:
  // Buffers for steps of at most `max_rows` rows; they are committed as they are used.
  // `head` may be nullptr: every logit is computed.
  static Status create(const Weights& weights, const HeadCopy* head, const Ops& ops, Mode mode, ThreadPool* pool,
                       KvCache* cache, size_t max_rows, std::unique_ptr<Forward>* out);

  // Writes the rows' keys and values into the cache, and the logits (rows that want them, vocab_size) of the next
  // token.
  void run(std::span<const Row> rows, float* logits);

  // Weights and cached keys and values read by all runs so far.
  uint64_t bytes_read() const {
    return matmul_.weight_bytes() + attention_.bytes_read() + (screened_head_ ? screened_head_->bytes_read() : 0);
  }

 private:
  struct Choice {
    uint32_t expert;
    float weight;
  };
  struct Scratch {  // of one thread
    std::vector<uint16_t> k, v;  // (kv_size), rounded
    std::vector<uint8_t> taken;  // (num_experts)
  };

  Forward(const Weights& weights, const HeadCopy* head, const Ops& ops, Mode mode, ThreadPool* pool, KvCache* cache,
          size_t max_rows);

  void embed();
  void begin_attention(size_t layer, size_t row);
  void attend(size_t layer);
  void begin_experts(size_t layer, size_t row);
  void cache_keys_and_values(size_t layer);
  void experts(size_t layer);
  void route(size_t row, Scratch* scratch);
  void group_by_expert();
  void unembed(float* logits);
  void normalize(size_t row, const std::vector<float>& weight);

  template <typename Body>
  void for_rows(size_t count, Body&& body);

  const Weights& weights_;
  const ModelConfig& config_;
  const Ops& ops_;
  ThreadPool& pool_;
  KvCache& cache_;
  const size_t hidden_, vocab_, q_size_, kv_size_, experts_per_token_;
  Rope rope_;
  Matmul matmul_;
  Attention attention_;
  std::vector<Scratch> scratch_;  // (threads)

  // The step being run.
  std::span<const Row> rows_;
  std::unique_ptr<float[]> x_;          // (rows, hidden_size): the residual stream
  std::unique_ptr<float[]> normed_;     // (rows, hidden_size)
  std::unique_ptr<float[]> cos_, sin_;  // (rows, head_dim / 2)
  Activations dense_in_;                // (rows, hidden_size): what the head reads
  Activations qkv_in_;                  // (rows, hidden_size)
  std::unique_ptr<float[]> qkv_;        // (rows, q_size + 2 kv_size)
  std::unique_ptr<float[]> attended_;   // (rows, q_size)
  Activations attended_in_;             // (rows, q_size)
  std::unique_ptr<float[]> branch_;     // (rows, hidden_size): the output projection
  Activations router_in_;               // (rows, hidden_size), f32 in every mode
  std::unique_ptr<float[]> router_;     // (rows, num_experts)
  std::vector<Choice> choices_;         // (rows, experts_per_token), best first
  std::vector<size_t> slot_of_choice_;  // (rows, experts_per_token): its place in the arrays below, sorted by expert
  std::vector<size_t> choice_of_slot_;
  std::vector<size_t> expert_begin_;  // (num_experts + 1): slots of each expert
  Activations token_in_;              // (rows, hidden_size): what the experts read
  Activations gate_up_in_;            // (rows * experts_per_token, hidden_size), by slot
  Activations down_in_;               // (rows * experts_per_token, intermediate_size), by slot
  std::unique_ptr<float[]> down_;     // (rows * experts_per_token, hidden_size), by slot
  std::vector<MatmulTask> tasks_;
  std::unique_ptr<ScreenedHead> screened_head_;  // nullptr: none
  std::vector<const LogitNeed*> needs_;          // of the rows that want logits
};

}  // namespace switchyard
