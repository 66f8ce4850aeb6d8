// The last matrix product, logits = unembedding x, without reading all of it: an int8 copy tells of every row how far its
// logit can be from what the copy gives, and only rows that can still win are computed with the real weights. The result
// is the one that all real weights would have given, bit for bit: see the proof in screened_head.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "matmul.h"
#include "ops/ops.h"
#include "resident.h"
#include "status.h"
#include "thread_pool.h"
#include "weights.h"

namespace switchyard {

// Which logits of a row the sampler will look at. A score is the logit, or with `noisy` logit / temperature + Gumbel
// noise of (noise_key, id). Exact are: the ids in `changed`; and of the ids that are neither changed nor masked the `top`
// of the highest score and all that score at most `reach` less than the last of these. Others may be -infinity instead.
struct LogitNeed {
  bool all = true;  // every logit, whatever the rest says
  size_t top = 1;
  double reach = 0;
  bool noisy = false;
  float temperature = 1;
  uint64_t noise_key = 0;
  std::span<const int32_t> masked;  // will not be chosen
  std::vector<int32_t> changed;     // will be changed before they are compared

  // What the proof holds for.
  static constexpr size_t kMostTop = 1024;
  static constexpr float kLeastTemperature = 0.01f, kMostTemperature = 100;
};

// The int8 copy of a head. Immutable.
class HeadCopy {
 public:
  // Whether a copy can be made: one bf16 matrix without bias.
  static bool suits(const Linear& head);
  static size_t bytes_for(const Linear& head);
  // out_of_memory; unsupported: a weight is not finite, or so large that products could overflow.
  static Status create(const Linear& head, const Ops& ops, ThreadPool* pool, std::unique_ptr<HeadCopy>* out);
  // The same from the image of an earlier copy, which `fill` brings. not_found: it returned false. invalid_file: that is no
  // copy of this head, by a sample of its rows.
  using Fill = std::function<bool(uint8_t* to, size_t bytes)>;
  static Status restore(const Linear& head, const Ops& ops, const Fill& fill, std::unique_ptr<HeadCopy>* out);

  size_t rows() const { return rows_; }
  size_t n_in() const { return n_in_; }
  size_t stride() const { return stride_; }
  size_t bytes() const { return bytes_; }
  const uint8_t* image() const { return memory_.data(); }  // (bytes)
  const uint8_t* weights() const { return weights_; }
  const float* scales() const { return scales_; }
  const float* errors() const { return errors_; }
  const float* norms() const { return norms_; }
  float largest_norm() const { return largest_norm_; }

 private:
  // A row's three numbers.
  struct Row {
    float scale, error, norm;
  };

  HeadCopy() = default;
  static Status allocate(const Linear& head, std::unique_ptr<HeadCopy>* out);
  Row make_row(const Linear& head, const Ops& ops, size_t row, uint8_t* to) const;
  bool is_copy_of(const Linear& head, const Ops& ops) const;
  bool find_largest_norm();

  size_t rows_ = 0, n_in_ = 0, stride_ = 0, bytes_ = 0;
  HugeMemory memory_;
  const uint8_t* weights_ = nullptr;  // (rows, stride): 128 + int8
  const float* scales_ = nullptr;     // (rows): weight = scale * int8
  const float* errors_ = nullptr;     // (rows): what that leaves out, as a norm
  const float* norms_ = nullptr;      // (rows): of the real row and the copy's, whichever is larger
  float largest_norm_ = 0;
};

class ScreenedHead {
 public:
  static constexpr size_t kMostTokens = 32;  // each that is used keeps a byte for every row

  // `head` is what `copy` was made of.
  ScreenedHead(const HeadCopy& copy, const Linear& head, const Ops& ops, ThreadPool* pool);

  // Whether run() is worth trying.
  static bool suits(std::span<const LogitNeed* const> needs);

  // Writes logits (needs.size(), rows), of the activations x (bf16). False: they are not written, because so many rows
  // could win or the activations are such that the real weights are the way.
  bool run(const Activations& x, std::span<const LogitNeed* const> needs, float* logits);

  uint64_t bytes_read() const { return bytes_read_; }

 private:
  struct Token {
    std::unique_ptr<int8_t[]> storage;
    int8_t *low, *high;               // in storage: (stride) each, behind `high` a block more
    std::vector<uint32_t> high_at;    // (stride / kI8RowAlign)
    I8Vector vector;                  // of these three
    bool encoded;                     // else the proof does not hold for these activations
    float error_factor, norm_factor;  // |logit - screened| <= errors[r] * error_factor + norms[r] * norm_factor + tiny
    float tiny;
    float threshold;               // the score that a row must be able to reach
    std::vector<float> most;       // (rows / kGroupRows): the highest score that any row of a group can reach
    std::vector<uint8_t> special;  // (rows): masked or changed
    std::vector<std::pair<float, uint32_t>> best;  // heap of find_threshold()
  };
  struct Candidate {
    uint32_t token, row;
  };

  static constexpr size_t kGroupRows = 64;  // of the copy: about 180 KB, 5 us of memory traffic

  bool encode(const uint16_t* x, Token* token) const;
  void mark(const LogitNeed& need, uint8_t value, Token* token) const;
  ReachArgs reach(const Token& token, const LogitNeed& need, size_t begin, size_t rows, const float* logits,
                  float* noise) const;
  void screen(std::span<const LogitNeed* const> needs, float* logits);
  void find_threshold(const Activations& x, size_t index, const LogitNeed& need, float* logits);
  void select(size_t index, const LogitNeed& need, size_t begin, size_t end, float* logits,
              std::vector<Candidate>* found) const;
  void compute(const Activations& x, size_t index, size_t row, float* logits) const;

  const HeadCopy& copy_;
  const Linear& head_;
  const Ops& ops_;
  ThreadPool& pool_;
  std::vector<Token> tokens_;
  std::vector<std::vector<Candidate>> found_;  // (threads)
  std::vector<Candidate> candidates_;
  uint64_t bytes_read_ = 0;
};

}  // namespace switchyard
