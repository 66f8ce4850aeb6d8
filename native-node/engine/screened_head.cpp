// Why a screened head chooses what the whole one chooses.
//
// Let w be a row of the real head, x the activations, both bf16, and l the f32 that the matmul op makes of them. The copy
// has w = s q + e with integers q, the activations are split into x = a z + d with integers z; both remainders' norms are
// known. The screened logit is p = s a (q . z) in f32. By Cauchy-Schwarz
//   |w.x - s a (q.z)| <= |e.x| + |s q.d| <= ||e|| ||x|| + (||w|| + ||e||) ||d||.
// Rounding: whatever the order of its sum, l differs from w.x by at most g sum |w_i x_i| <= g ||w|| ||x|| with
// g = (n + 2) 2^-24 / (1 - (n + 2) 2^-24); vdpbf16ps, which also drops subnormal operands and sums, by 2^-126 a product
// and operand more, `tiny` below. q . z is exact, and p is it times s a with three roundings, of a product that is at most
// s ||q|| a ||z||. So |l - p| <= bound(row) = ||e|| E + (||w|| + ||e||) N + tiny, where E and N depend on x alone. All norms
// are rounded up, and each factor is enlarged by more than the f32 arithmetic of the bound loses.
//
// z has 8 bits, which makes d about as large as e, and the bound twice what more bits would leave: some dozens of candidates
// more, which cost nothing beside a second product. Activations that stand out, as those of real models do, would make a, and
// with it d, as many times larger: their blocks of 64 have 16 bits (I8Vector::high).
//
// Take any `top` of the ids that may compete, compute their exact scores, and call the lowest T: at least `top` ids score
// T or more, so the top-th best exact score is at least T. An id whose highest possible score, from p + bound, is below
// T - reach is therefore not among those that LogitNeed asks for. All others are computed with the real weights, by the same
// operation as in the whole product, whose result for a row does not depend on the other rows (ops.h): they are equal bit
// for bit, and so are ties. The comparison is made in f32; its roundings are paid for where they happen.
#include "screened_head.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <new>

#include "ops/noise.h"
#include "ops/reach.h"

namespace switchyard {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr size_t kBuildRows = 512;      // a piece when the copy is made
constexpr size_t kSampledRows = 1024;   // of so many rows one is made anew where a copy is restored
constexpr size_t kSliceRows = 8192;     // a piece of the selection: whole groups
constexpr size_t kMostShare = 16;       // more than a 16th of the rows as candidates: read them all
constexpr float kLeastActivation = 1e-25f, kMostProduct = 1e30f;  // away from underflow and overflow
constexpr int32_t kMostLow = 127, kMostWhole = 127 * 256 + 127;
constexpr size_t kWideBlocks = 6;  // of a vector have 16 bits at most: a product more for each, of 45 in gpt-oss
constexpr float kStandsOut = 1.5f;  // times the largest of the other blocks

float float_of(uint16_t bf16) {
  const uint32_t bits = uint32_t(bf16) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

float above(double value) { return float(value * (1 + 1e-6)); }

// The step between integers. The largest activation becomes 127, but where a few blocks stand out (most: the largest of
// each), what the others need does.
float step_of(std::span<const float> most) {
  float largest[kWideBlocks + 1] = {};  // in descending order
  for (float value : most) {
    for (float& place : largest) {
      if (value > place) std::swap(value, place);
    }
  }
  const float others = largest[std::min(kWideBlocks, most.size() - 1)];
  return std::max(std::min(largest[0], kStandsOut * others) / kMostLow, largest[0] / kMostWhole);
}

// The exact score of an id that competes.
double score_of(const LogitNeed& need, float logit, size_t id) {
  if (!need.noisy) return double(logit);
  float noise;
  plain_gumbel(&noise, need.noise_key, id, 1);
  return double(logit) / double(need.temperature) + double(noise);
}

}  // namespace

bool HeadCopy::suits(const Linear& head) {
  const Matrix& matrix = head.parts[0];
  return head.count == 1 && matrix.bf16 && !matrix.bias && matrix.n_in <= kMostI8Row && matrix.rows <= UINT32_MAX;
}

size_t HeadCopy::bytes_for(const Linear& head) {
  const size_t stride = (head.n_in() + kI8RowAlign - 1) / kI8RowAlign * kI8RowAlign;
  return head.rows() * (stride + 3 * sizeof(float));
}

Status HeadCopy::allocate(const Linear& head, std::unique_ptr<HeadCopy>* out) {
  if (!suits(head)) return Status::error(Code::unsupported, "the head is not one bf16 matrix, so it cannot be screened");
  std::unique_ptr<HeadCopy> copy(new HeadCopy());
  copy->rows_ = head.rows();
  copy->n_in_ = head.n_in();
  copy->stride_ = (head.n_in() + kI8RowAlign - 1) / kI8RowAlign * kI8RowAlign;
  copy->bytes_ = bytes_for(head);
  if (Status status = copy->memory_.allocate(copy->bytes_); !status.ok()) return status;
  const uint8_t* memory = copy->memory_.data();
  copy->weights_ = memory;
  copy->scales_ = reinterpret_cast<const float*>(memory + copy->rows_ * copy->stride_);
  copy->errors_ = copy->scales_ + copy->rows_;
  copy->norms_ = copy->errors_ + copy->rows_;
  *out = std::move(copy);
  return {};
}

HeadCopy::Row HeadCopy::make_row(const Linear& head, const Ops& ops, size_t row, uint8_t* to) const {
  const size_t n = n_in_, stride = stride_;
  const I8Row made = ops.bf16_quantize_row(reinterpret_cast<int8_t*>(to), head.parts[0].bf16 + row * n, n);
  std::fill(to + n, to + stride, uint8_t(0));
  for (size_t i = 0; i < stride; ++i) to[i] ^= 0x80;
  return {made.scale, made.error, (made.norm + made.error) * (1 + 0x1p-20f)};
}

// False where a weight is not finite, or a restored number is none that a row can have.
bool HeadCopy::find_largest_norm() {
  for (size_t row = 0; row < rows_; ++row) {
    if (!(norms_[row] <= kMostProduct && errors_[row] >= 0 && errors_[row] <= norms_[row] && scales_[row] >= 0)) return false;
    largest_norm_ = std::max(largest_norm_, norms_[row]);
  }
  return true;
}

Status HeadCopy::create(const Linear& head, const Ops& ops, ThreadPool* pool, std::unique_ptr<HeadCopy>* out) {
  std::unique_ptr<HeadCopy> copy;
  if (Status status = allocate(head, &copy); !status.ok()) return status;
  uint8_t* weights = copy->memory_.data();
  float* scales = reinterpret_cast<float*>(weights + copy->rows_ * copy->stride_);
  float *errors = scales + copy->rows_, *norms = errors + copy->rows_;
  pool->parallel_for(copy->rows_, kBuildRows, [&](size_t begin, size_t end, int) {
    for (size_t row = begin; row < end; ++row) {
      const Row made = copy->make_row(head, ops, row, weights + row * copy->stride_);
      scales[row] = made.scale;
      errors[row] = made.error;
      norms[row] = made.norm;
    }
  });
  if (!copy->find_largest_norm()) return Status::error(Code::unsupported, "the head has weights that are not finite");
  *out = std::move(copy);
  return {};
}

bool HeadCopy::is_copy_of(const Linear& head, const Ops& ops) const {
  std::vector<uint8_t> made(stride_);
  for (size_t row = 0; row < rows_; row += kSampledRows) {
    const Row numbers = make_row(head, ops, row, made.data());
    if (std::memcmp(made.data(), weights_ + row * stride_, stride_) != 0 || numbers.scale != scales_[row] ||
        numbers.error != errors_[row] || numbers.norm != norms_[row]) {
      return false;
    }
  }
  return true;
}

Status HeadCopy::restore(const Linear& head, const Ops& ops, const Fill& fill, std::unique_ptr<HeadCopy>* out) {
  std::unique_ptr<HeadCopy> copy;
  if (Status status = allocate(head, &copy); !status.ok()) return status;
  if (!fill(copy->memory_.data(), copy->bytes_)) return Status::error(Code::not_found, "there is no image of a copy");
  if (!copy->find_largest_norm() || !copy->is_copy_of(head, ops))
    return Status::error(Code::invalid_file, "that is no copy of this head");
  *out = std::move(copy);
  return {};
}

ScreenedHead::ScreenedHead(const HeadCopy& copy, const Linear& head, const Ops& ops, ThreadPool* pool)
    : copy_(copy), head_(head), ops_(ops), pool_(*pool), tokens_(kMostTokens), found_(size_t(pool->size())) {
  for (Token& token : tokens_) {
    token.storage.reset(new int8_t[2 * copy.stride() + 2 * kI8RowAlign]());
    const size_t past = reinterpret_cast<uintptr_t>(token.storage.get()) % kI8RowAlign;
    token.low = token.storage.get() + (kI8RowAlign - past);  // aligned: a vector across two cache lines is two loads
    token.high = token.low + copy.stride();
    token.high_at.resize(copy.stride() / kI8RowAlign);
  }
}

bool ScreenedHead::suits(std::span<const LogitNeed* const> needs) {
  if (needs.size() > kMostTokens) return false;
  return std::none_of(needs.begin(), needs.end(), [](const LogitNeed* need) {
    return !need || need->all || need->top < 1 || need->top > LogitNeed::kMostTop ||
           (need->noisy && !(need->temperature >= LogitNeed::kLeastTemperature &&
                             need->temperature <= LogitNeed::kMostTemperature));
  });
}

// x as integers, and the factors of the bound. False where the proof would not hold.
bool ScreenedHead::encode(const uint16_t* x, Token* token) const {
  const size_t n = copy_.n_in();
  float most = 0;
  const size_t blocks = copy_.stride() / kI8RowAlign;
  float most_of_block[kMostI8Row / kI8RowAlign] = {};
  for (size_t i = 0; i < n; ++i) {
    const float value = std::fabs(float_of(x[i]));
    if (!(value <= kMostProduct)) return false;
    most = std::max(most, value);
    most_of_block[i / kI8RowAlign] = std::max(most_of_block[i / kI8RowAlign], value);
  }
  if (most < kLeastActivation) return false;
  const float scale = step_of({most_of_block, blocks});
  int8_t *low = token->low, *high = token->high;
  size_t high_count = 0;
  int64_t sum = 0, magnitudes = 0;
  double squares = 0, whole_squares = 0, rest_squares = 0;
  for (size_t block = 0; block < n; block += kI8RowAlign) {
    bool wide = false;
    std::fill_n(high, kI8RowAlign, int8_t(0));
    for (size_t i = block; i < std::min(n, block + kI8RowAlign); ++i) {
      const double value = float_of(x[i]);
      int32_t whole = std::clamp(int32_t(std::lrint(value / scale)), -kMostWhole, kMostWhole);
      if ((whole & 255) == 128) ++whole;  // else its low part is -128, which |low| <= 127 excludes
      high[i - block] = int8_t((whole + 128) >> 8);
      low[i] = int8_t(whole - 256 * high[i - block]);
      wide |= high[i - block] != 0;
      sum += whole;
      magnitudes += std::abs(whole);
      const double rest = value - double(scale) * whole;
      squares += value * value;
      whole_squares += double(whole) * whole;
      rest_squares += rest * rest;
    }
    if (!wide) continue;
    token->high_at[high_count++] = uint32_t(block);
    high += kI8RowAlign;
  }
  if (magnitudes * kMostLow > std::numeric_limits<int32_t>::max()) return false;
  const double norm = std::sqrt(squares), rest = std::sqrt(rest_squares);
  if (!(norm * copy_.largest_norm() <= kMostProduct)) return false;
  const double terms = double(n) + 2, gamma = terms * 0x1p-24 / (1 - terms * 0x1p-24);
  token->vector = {token->low, token->high, token->high_at.data(), high_count, int32_t(sum), scale};
  token->error_factor = above(norm);
  // 2^-21: three roundings of p; 2^-21 ||x|| and ||a z|| once more: those of p + bound.
  token->norm_factor = above(rest + gamma * norm + 0x1p-20 * (norm + scale * std::sqrt(whole_squares)));
  token->tiny = above(1e-30 + 0x1p-120 * double(n) * (norm + copy_.largest_norm()));
  return true;
}

void ScreenedHead::mark(const LogitNeed& need, uint8_t value, Token* token) const {
  for (const int32_t id : need.masked) token->special[size_t(id)] = value;
  for (const int32_t id : need.changed) token->special[size_t(id)] = value;
}

// What tells how high the scores of rows [begin, begin + rows), at most kGroupRows, can be. Noise is made anew wherever it is
// needed, which is cheaper than to keep it.
ReachArgs ScreenedHead::reach(const Token& token, const LogitNeed& need, size_t begin, size_t rows, const float* logits,
                              float* noise) const {
  if (need.noisy) ops_.f32_gumbel(noise, need.noise_key, begin, rows);
  return {.y = logits + begin,
          .errors = copy_.errors() + begin,
          .norms = copy_.norms() + begin,
          .noise = need.noisy ? noise : nullptr,
          .error_factor = token.error_factor,
          .norm_factor = token.norm_factor,
          .tiny = token.tiny,
          .inverse = need.noisy ? 1 / need.temperature : 1};
}

// p of every row, and how high each group of rows can reach: most groups need no second look.
void ScreenedHead::screen(std::span<const LogitNeed* const> needs, float* logits) {
  I8Vector vectors[kMostTokens];
  for (size_t t = 0; t < needs.size(); ++t) vectors[t] = tokens_[t].vector;
  pool_.parallel_for(copy_.rows(), kGroupRows, [&](size_t first, size_t last, int) {
    for (size_t begin = first; begin < last; begin += kGroupRows) {  // one thread alone gets everything at once
      const size_t end = std::min(last, begin + kGroupRows);
      ops_.i8v_u8w_matmul({.x = vectors,
                           .tokens = needs.size(),
                           .w = copy_.weights(),
                           .w_scale = copy_.scales(),
                           .stride = copy_.stride(),
                           .y = logits,
                           .y_stride = copy_.rows(),
                           .row_begin = begin,
                           .row_end = end});
      for (size_t t = 0; t < needs.size(); ++t) {
        float noise[kGroupRows];
        const ReachArgs args = reach(tokens_[t], *needs[t], begin, end - begin, logits + t * copy_.rows(), noise);
        tokens_[t].most[begin / kGroupRows] = ops_.f32_most_reach(args, end - begin);
      }
    }
  });
  bytes_read_ += copy_.bytes();
}

void ScreenedHead::compute(const Activations& x, size_t index, size_t row, float* logits) const {
  const Matrix& matrix = head_.parts[0];
  ops_.bf16_bf16w_matmul({.x = x.row(index),
                          .x_stride = x.stride(),
                          .tokens = 1,
                          .w = matrix.bf16,
                          .w_scale = nullptr,
                          .bias = nullptr,
                          .n_in = matrix.n_in,
                          .y = logits,
                          .y_stride = copy_.rows(),
                          .row_begin = row,
                          .row_end = row + 1});
}

// The lowest exact score of `top` ids: those that look best, though any would do.
void ScreenedHead::find_threshold(const Activations& x, size_t index, const LogitNeed& need, float* logits) {
  Token& token = tokens_[index];
  auto& best = token.best;
  const auto worse_first = [](const auto& a, const auto& b) { return a.first > b.first; };
  best.clear();
  float least = -kInfinity;
  for (size_t group = 0; group < copy_.rows(); group += kGroupRows) {
    if (!(token.most[group / kGroupRows] > least)) continue;  // no score is above what it can reach
    const size_t size = std::min(kGroupRows, copy_.rows() - group);
    float noise[kGroupRows];
    const ReachArgs args = reach(token, need, group, size, logits, noise);
    for (size_t i = 0; i < size; ++i) {
      const float score = need.noisy ? args.y[i] * args.inverse + noise[i] : args.y[i];
      if (!(score > least) || token.special[group + i]) continue;
      if (best.size() == need.top) {
        std::pop_heap(best.begin(), best.end(), worse_first);
        best.pop_back();
      }
      best.emplace_back(score, uint32_t(group + i));
      std::push_heap(best.begin(), best.end(), worse_first);
      if (best.size() == need.top) least = best.front().first;
    }
  }
  if (best.size() < need.top) {
    token.threshold = -kInfinity;  // there are no more: all are asked for
    return;
  }
  double lowest = kInfinity;
  for (const auto& [score, row] : best) {
    const float screened = logits[row];
    compute(x, index, row, logits);
    lowest = std::min(lowest, score_of(need, logits[row], row));
    logits[row] = screened;
  }
  const double threshold = lowest - need.reach;
  // Lowered by more than this rounding and those of the sampler's own logit / temperature + noise, in f32.
  const double size = std::fabs(threshold) + std::fabs(lowest) + (need.noisy ? 32 : 0);
  token.threshold = float(threshold - size * 0x1p-19 - 1e-30);
}

// Whether a row can reach the threshold; rows that cannot become -infinity, the others go to `found`.
void ScreenedHead::select(size_t index, const LogitNeed& need, size_t begin, size_t end, float* logits,
                          std::vector<Candidate>* found) const {
  const Token& token = tokens_[index];
  for (size_t group = begin; group < end; group += kGroupRows) {
    const size_t size = std::min(kGroupRows, end - group);
    if (token.most[group / kGroupRows] < token.threshold) {
      std::fill_n(logits + group, size, -kInfinity);
      continue;
    }
    float noise[kGroupRows];
    const ReachArgs args = reach(token, need, group, size, logits, noise);
    for (size_t i = 0; i < size; ++i) {
      const bool reaches = !((need.noisy ? reach_of<true>(args, i) : reach_of<false>(args, i)) < token.threshold);
      if (reaches && !token.special[group + i]) found->push_back({uint32_t(index), uint32_t(group + i)});
      else logits[group + i] = -kInfinity;
    }
  }
}

bool ScreenedHead::run(const Activations& x, std::span<const LogitNeed* const> needs, float* logits) {
  const size_t rows = copy_.rows(), count = needs.size();
  const size_t most = std::max<size_t>(rows / kMostShare, LogitNeed::kMostTop);
  pool_.parallel_for(count, 1, [&](size_t first, size_t last, int) {
    for (size_t t = first; t < last; ++t)
      tokens_[t].encoded = encode(reinterpret_cast<const uint16_t*>(x.row(t)), &tokens_[t]);
  });
  // All that can fail comes before the marks, which have to be taken back.
  for (size_t t = 0; t < count; ++t) {
    if (!tokens_[t].encoded) return false;
    tokens_[t].special.resize(rows);
    tokens_[t].best.reserve(LogitNeed::kMostTop);
    tokens_[t].most.resize((rows + kGroupRows - 1) / kGroupRows);
  }
  for (auto& found : found_) {
    found.clear();
    found.reserve(most + kSliceRows);
  }
  screen(needs, logits);
  pool_.parallel_for(count, 1, [&](size_t first, size_t last, int) {
    for (size_t t = first; t < last; ++t) {
      mark(*needs[t], 1, &tokens_[t]);
      find_threshold(x, t, *needs[t], logits + t * rows);
    }
  });
  const size_t slices = (rows + kSliceRows - 1) / kSliceRows;
  pool_.parallel_for(slices * count, 1, [&](size_t first, size_t last, int thread) {
    for (size_t i = first; i < last; ++i) {
      std::vector<Candidate>* found = &found_[size_t(thread)];
      if (found->size() > most) continue;
      const size_t t = i / slices, begin = i % slices * kSliceRows;
      select(t, *needs[t], begin, std::min(rows, begin + kSliceRows), logits + t * rows, found);
    }
  });
  for (size_t t = 0; t < count; ++t) mark(*needs[t], 0, &tokens_[t]);
  candidates_.clear();
  for (const auto& found : found_) candidates_.insert(candidates_.end(), found.begin(), found.end());
  for (size_t t = 0; t < count; ++t) {
    for (const int32_t id : needs[t]->changed) candidates_.push_back({uint32_t(t), uint32_t(id)});
  }
  if (candidates_.size() > most) return false;
  pool_.parallel_for(candidates_.size(), 16, [&](size_t first, size_t last, int) {
    for (size_t i = first; i < last; ++i)
      compute(x, candidates_[i].token, candidates_[i].row, logits + candidates_[i].token * rows);
  });
  bytes_read_ += candidates_.size() * head_.parts[0].n_in * sizeof(uint16_t);
  return true;
}

}  // namespace switchyard
