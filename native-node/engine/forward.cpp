// gpt-oss, in the order of gpt_oss/torch/model.py: https://github.com/openai/gpt-oss
#include "forward.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <new>

#include "ops/kv_tiles.h"

namespace switchyard {
namespace {

Format dense_format(Mode mode) { return mode == Mode::exact ? Format::f32 : Format::bf16; }

Format expert_format(Mode mode, bool mxfp4) {
  if (mode == Mode::exact) return Format::f32;
  return mode == Mode::fast && mxfp4 ? Format::i8 : Format::bf16;
}

// Of what attention's matrices read: int8 ones take integers, of 16 bits, which cost decoding nothing.
Format attention_format(Mode mode, const Weights& weights) {
  return weights.layer(0).q.parts[0].i8 ? Format::i16 : dense_format(mode);
}

std::unique_ptr<float[]> floats(size_t rows, size_t n) { return std::unique_ptr<float[]>(new float[rows * n]); }

}  // namespace

size_t kv_element_bytes(Mode mode) { return mode == Mode::exact ? sizeof(float) : sizeof(uint16_t); }

Status Forward::create(const Weights& weights, const HeadCopy* head, const Ops& ops, Mode mode, ThreadPool* pool,
                       KvCache* cache, size_t max_rows, std::unique_ptr<Forward>* out) try {
  out->reset(new Forward(weights, head, ops, mode, pool, cache, max_rows));
  return {};
} catch (const std::bad_alloc&) {
  return Status::error(Code::out_of_memory, "not enough memory for the activations of a step");
}

Forward::Forward(const Weights& weights, const HeadCopy* head, const Ops& ops, Mode mode, ThreadPool* pool,
                 KvCache* cache, size_t max_rows)
    : weights_(weights),
      config_(weights.config()),
      ops_(ops),
      pool_(*pool),
      cache_(*cache),
      hidden_(size_t(config_.hidden_size)),
      vocab_(size_t(config_.vocab_size)),
      q_size_(config_.q_size()),
      kv_size_(config_.kv_size()),
      experts_per_token_(size_t(config_.experts_per_token)),
      rope_(config_.rope, size_t(config_.head_dim)),
      matmul_(ops, pool),
      attention_(weights, ops, pool, cache, max_rows),
      scratch_(size_t(pool->size())),
      x_(floats(max_rows, hidden_)),
      normed_(floats(max_rows, hidden_)),
      cos_(floats(max_rows, size_t(config_.head_dim) / 2)),
      sin_(floats(max_rows, size_t(config_.head_dim) / 2)),
      dense_in_(dense_format(mode), max_rows, hidden_),
      qkv_in_(attention_format(mode, weights), max_rows, hidden_),
      qkv_(floats(max_rows, q_size_ + 2 * kv_size_)),
      attended_(floats(max_rows, q_size_)),
      attended_in_(attention_format(mode, weights), max_rows, q_size_),
      branch_(floats(max_rows, hidden_)),
      router_in_(Format::f32, max_rows, hidden_),
      router_(floats(max_rows, size_t(config_.num_experts))),
      choices_(max_rows * experts_per_token_),
      slot_of_choice_(choices_.size()),
      choice_of_slot_(choices_.size()),
      expert_begin_(size_t(config_.num_experts) + 1),
      token_in_(expert_format(mode, weights.has_mxfp4_experts()), max_rows, hidden_),
      gate_up_in_(token_in_.format(), choices_.size(), hidden_),
      down_in_(token_in_.format(), choices_.size(), size_t(config_.intermediate_size)),
      down_(floats(choices_.size(), hidden_)) {
  if (head && dense_in_.format() == Format::bf16)
    screened_head_ = std::make_unique<ScreenedHead>(*head, weights.unembedding(), ops, pool);
  for (Scratch& scratch : scratch_) {
    scratch.k.resize(kv_size_);
    scratch.v.resize(kv_size_);
    scratch.taken.resize(size_t(config_.num_experts));
  }
}

void Forward::run(std::span<const Row> rows, float* logits) {
  rows_ = rows;
  attention_.begin(rows);
  embed();
  for (size_t layer = 0; layer < size_t(config_.num_hidden_layers); ++layer) {
    attend(layer);
    experts(layer);
  }
  unembed(logits);
}

// A few rows per piece: enough to spread a prompt, and a single decoded token stays on the calling thread.
template <typename Body>
void Forward::for_rows(size_t count, Body&& body) {
  pool_.parallel_for(count, 4, [&](size_t begin, size_t end, int thread) {
    for (size_t row = begin; row < end; ++row) body(row, scratch_[size_t(thread)]);
  });
}

// x = embedding[token]; the angles of every row's position.
void Forward::embed() {
  const Linear& embedding = weights_.embedding();
  const size_t half = size_t(config_.head_dim) / 2;
  for_rows(rows_.size(), [&](size_t row, Scratch&) {
    float* x = &x_[row * hidden_];
    std::fill(x, x + hidden_, 0.0f);
    for (size_t part = 0; part < embedding.count; ++part) {
      const uint16_t* from = embedding.parts[part].bf16 + size_t(rows_[row].token) * hidden_;
      for (size_t i = 0; i < hidden_; ++i) {
        const uint32_t bits = uint32_t(from[i]) << 16;
        float value;
        std::memcpy(&value, &bits, sizeof value);
        x[i] += value;
      }
    }
    rope_.angles(rows_[row].position, &cos_[row * half], &sin_[row * half]);
    begin_attention(0, row);
  });
}

void Forward::normalize(size_t row, const std::vector<float>& weight) {
  ops_.f32_rmsnorm(&normed_[row * hidden_], &x_[row * hidden_], weight.data(), hidden_, config_.rms_norm_eps);
}

// Whoever has made a row of x normalises it at once, while it is in the nearest cache.
void Forward::begin_attention(size_t layer, size_t row) {
  normalize(row, weights_.layer(layer).attn_norm);
  qkv_in_.encode(ops_, row, &normed_[row * hidden_]);
}

void Forward::begin_experts(size_t layer, size_t row) {
  normalize(row, weights_.layer(layer).mlp_norm);
  router_in_.encode(ops_, row, &normed_[row * hidden_]);
  token_in_.encode(ops_, row, &normed_[row * hidden_]);
}

// x += Wo attention(rope(Wqkv norm(x))); the norm is there
void Forward::attend(size_t layer) {
  const LayerWeights& weights = weights_.layer(layer);
  const size_t rows = rows_.size(), qkv_size = q_size_ + 2 * kv_size_;
  const MatmulTask qkv[] = {
      {&weights.q, &qkv_in_, 0, rows, qkv_.get(), qkv_size},
      {&weights.k, &qkv_in_, 0, rows, qkv_.get() + q_size_, qkv_size},
      {&weights.v, &qkv_in_, 0, rows, qkv_.get() + q_size_ + kv_size_, qkv_size},
  };
  matmul_.run(qkv);
  cache_keys_and_values(layer);
  attention_.run(layer, qkv_.get(), qkv_size, attended_.get());
  for_rows(rows, [&](size_t row, Scratch&) { attended_in_.encode(ops_, row, &attended_[row * q_size_]); });
  const MatmulTask out[] = {{&weights.o, &attended_in_, 0, rows, branch_.get(), hidden_}};
  matmul_.run(out);
  for_rows(rows, [&](size_t row, Scratch&) {
    ops_.f32_axpy(&x_[row * hidden_], 1.0f, &branch_[row * hidden_], hidden_);
    begin_experts(layer, row);
  });
}

// Rotates queries and keys; keys go into the cache rotated, values as they are.
void Forward::cache_keys_and_values(size_t layer) {
  const size_t head_dim = size_t(config_.head_dim), kv_heads = size_t(config_.num_key_value_heads), half = head_dim / 2;
  for_rows(rows_.size(), [&](size_t row, Scratch& scratch) {
    float* q = &qkv_[row * (q_size_ + 2 * kv_size_)];
    float *k = q + q_size_, *v = k + kv_size_;
    ops_.f32_rope(q, &cos_[row * half], &sin_[row * half], size_t(config_.num_attention_heads), head_dim);
    ops_.f32_rope(k, &cos_[row * half], &sin_[row * half], kv_heads, head_dim);
    const BlockTable::Layer& table = rows_[row].table->layer(layer);
    const size_t position = rows_[row].position;
    const uint32_t block = table.blocks[position / kBlockTokens - table.first];
    const bool f32 = cache_.element_bytes() == sizeof(float);
    if (!f32) {
      ops_.f32_to_bf16(scratch.k.data(), k, kv_size_);
      ops_.f32_to_bf16(scratch.v.data(), v, kv_size_);
    }
    for (size_t head = 0; head < kv_heads; ++head) {
      void *keys = cache_.keys(block, head), *values = cache_.values(block, head);
      const size_t at = head * head_dim, slot = position % kBlockTokens;
      if (f32) {
        store_kv(static_cast<float*>(keys), static_cast<float*>(values), slot, k + at, v + at, head_dim);
      } else {
        store_kv(static_cast<uint16_t*>(keys), static_cast<uint16_t*>(values), slot, &scratch.k[at], &scratch.v[at],
                 head_dim);
      }
    }
  });
}

// x += sum over the chosen experts of weight * (W2 swiglu(W1 norm(x))); the norm is there
void Forward::experts(size_t layer) {
  const LayerWeights& weights = weights_.layer(layer);
  const size_t rows = rows_.size(), slots = rows * experts_per_token_;
  const MatmulTask router[] = {{&weights.router, &router_in_, 0, rows, router_.get(), size_t(config_.num_experts)}};
  matmul_.run(router);
  for_rows(rows, [&](size_t row, Scratch& scratch) { route(row, &scratch); });
  group_by_expert();

  for_rows(slots, [&](size_t slot, Scratch&) {
    gate_up_in_.copy(slot, token_in_, choice_of_slot_[slot] / experts_per_token_);
  });
  const auto run_experts = [&](const std::vector<Linear>& linears, const Activations& in, float* out,
                               const SwigluInto* swiglu) {
    tasks_.clear();
    for (size_t expert = 0; expert < linears.size(); ++expert) {
      const size_t first = expert_begin_[expert], tokens = expert_begin_[expert + 1] - first;
      if (tokens == 0) continue;
      tasks_.push_back({&linears[expert], &in, first, tokens, out ? out + first * hidden_ : nullptr, hidden_, swiglu});
    }
    matmul_.run(tasks_);
  };
  const SwigluInto activated{&down_in_, config_.swiglu_limit};
  run_experts(weights.gate_up, gate_up_in_, nullptr, &activated);
  run_experts(weights.down, down_in_, down_.get(), nullptr);
  for_rows(rows, [&](size_t row, Scratch&) {
    for (size_t choice = row * experts_per_token_; choice < (row + 1) * experts_per_token_; ++choice) {
      ops_.f32_axpy(&x_[row * hidden_], choices_[choice].weight, &down_[slot_of_choice_[choice] * hidden_], hidden_);
    }
    if (layer + 1 < size_t(config_.num_hidden_layers)) begin_attention(layer + 1, row);
  });
}

// The experts_per_token largest router logits, ties to the lower index; their softmax is the weight.
void Forward::route(size_t row, Scratch* scratch) {
  const size_t num_experts = size_t(config_.num_experts);
  const float* logits = &router_[row * num_experts];
  Choice* choices = &choices_[row * experts_per_token_];
  std::fill(scratch->taken.begin(), scratch->taken.end(), 0);
  for (size_t i = 0; i < experts_per_token_; ++i) {
    size_t best = num_experts;
    for (size_t expert = 0; expert < num_experts; ++expert) {
      if (!scratch->taken[expert] && (best == num_experts || logits[expert] > logits[best])) best = expert;
    }
    scratch->taken[best] = 1;
    choices[i] = {uint32_t(best), logits[best]};
  }
  const float largest = choices[0].weight;
  float sum = 0;
  for (size_t i = 0; i < experts_per_token_; ++i) sum += choices[i].weight = std::exp(choices[i].weight - largest);
  for (size_t i = 0; i < experts_per_token_; ++i) choices[i].weight /= sum;
}

// A counting sort of the step's choices by expert, so that each expert's weights are read once.
void Forward::group_by_expert() {
  const size_t slots = rows_.size() * experts_per_token_;
  std::fill(expert_begin_.begin(), expert_begin_.end(), 0);
  for (size_t choice = 0; choice < slots; ++choice) expert_begin_[choices_[choice].expert + 1]++;
  for (size_t expert = 1; expert < expert_begin_.size(); ++expert) expert_begin_[expert] += expert_begin_[expert - 1];
  for (size_t choice = 0; choice < slots; ++choice) {
    const size_t slot = expert_begin_[choices_[choice].expert]++;
    slot_of_choice_[choice] = slot;
    choice_of_slot_[slot] = choice;
  }
  // Every begin has moved to its end: shift back.
  for (size_t expert = expert_begin_.size() - 1; expert > 0; --expert)
    expert_begin_[expert] = expert_begin_[expert - 1];
  expert_begin_[0] = 0;
}

// logits = unembedding norm(x), only where asked for, and only what can matter
void Forward::unembed(float* logits) {
  size_t wanted = 0;
  needs_.clear();
  for (size_t row = 0; row < rows_.size(); ++row) {
    if (!rows_[row].wants_logits) continue;
    needs_.push_back(rows_[row].need);
    normalize(row, weights_.norm());
    dense_in_.encode(ops_, wanted++, &normed_[row * hidden_]);
  }
  if (wanted == 0) return;
  if (screened_head_ && ScreenedHead::suits(needs_) && screened_head_->run(dense_in_, needs_, logits)) return;
  const MatmulTask head[] = {{&weights_.unembedding(), &dense_in_, 0, wanted, logits, vocab_}};
  matmul_.run(head);
}

}  // namespace switchyard
