// The engine's boundary: tokens in, tokens out. No chat, no JSON, no tensor types.
// An Engine owns one loaded model and one scheduler thread that runs every submitted sequence by continuous batching.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "status.h"

namespace switchyard {

enum class Mode { exact, bf16, fast };

struct EngineOptions {
  std::string model_path;     // folder with config.json and *.safetensors, or a GGUF file
  std::string mode = "fast";  // exact | bf16 | fast
  std::string isa = "auto";   // auto | scalar | avx2 | avx512 | neon
  std::string head = "auto";  // auto | screened | exact: whether an int8 copy of the head tells which rows can win
  std::string dense = "bf16";  // bf16 | int8: attention's matrices; int8 in mode fast only
  std::string weights_cache = {};  // folder for a file of the packed weights, which spares later loads the packing; empty: none
  int speculate = 0;          // guessed tokens that a step may verify for a sequence, 0 to 15: see docs/native-node.md
  int threads = 0;            // 0: the cores this process may use (affinity and cgroup quota)
  int max_sequences = 16;     // running at once; more wait
  int prefill_chunk = 256;    // prompt tokens of one step, over all sequences
  int64_t kv_bytes = 0;       // 0: a default from the model's context and free memory
  int max_context = 0;        // 0: max_position_embeddings
};

struct EngineInfo {
  std::string isa, mode, head, dense;  // head: screened or exact
  int threads = 0, num_hidden_layers = 0, hidden_size = 0, num_experts = 0, experts_per_token = 0, vocab_size = 0;
  int max_context = 0, max_sequences = 0, speculate = 0;
  int64_t weight_bytes = 0, head_bytes = 0, kv_bytes = 0, kv_tokens = 0;  // head_bytes: of the copy for screening
  double load_seconds = 0;
  std::string weights_cache;  // for the log: what became of the file; empty: none was asked for
};

struct SamplingParams {
  float temperature = 1.0f;  // 0: greedy
  float top_p = 1.0f;
  int top_k = 0;  // 0: off
  float min_p = 0.0f;
  uint64_t seed = 0;                                        // randomness is a pure function of (seed, position)
  float frequency_penalty = 0.0f, presence_penalty = 0.0f;  // over generated tokens
  float repetition_penalty = 1.0f;
  std::vector<std::pair<int32_t, float>> logit_bias = {};
  std::vector<int32_t> unpenalized_ids = {};  // penalties leave these alone (control tokens), and stop_ids too
  int top_logprobs = -1;                      // -1: none; 0..20: the chosen token's logprob and that many alternatives
};

class Grammar;
class Tokenizer;

// What a part of the answer must be. A part is what stands between Constraints::content_id and one of part_ids; before it
// stands its header.
struct PartConstraint {
  std::vector<std::string> header_words;   // a part that has all of these, between blanks or special tokens, is meant
  std::shared_ptr<const Grammar> grammar;  // of its bytes; none: any text
  std::vector<int32_t> end_ids;            // what alone may end it, where the grammar lets it end
};
struct Constraints {
  std::shared_ptr<const Tokenizer> tokenizer;
  int32_t content_id = -1;            // ends a header
  std::vector<int32_t> part_ids;      // end a part: a header comes next, or nothing more
  std::vector<PartConstraint> parts;  // the first that fits
  // What the headers must be, from the first one on, the last of these for all that follow; empty: anything. The byte 255 and
  // its name stand for a special token; content_id is the last of them.
  std::vector<std::shared_ptr<const Grammar>> headers;
  bool empty() const { return parts.empty() && headers.empty(); }  // the answer is free
};

struct GenerateRequest {
  std::vector<int32_t> prompt;     // at least one id
  std::vector<int32_t> stop_ids;   // generation ends after one of these, which is still delivered
  std::vector<int32_t> never_ids;  // masked out (reserved ids)
  std::vector<int32_t> prefix_ends;  // lengths of the prompt's beginning from which other prompts may go on: hints
  std::vector<int32_t> predicted;  // what the answer will hold, perhaps: guesses come from here even where speculate is 0
  Constraints constraints;
  SamplingParams sampling;
  int max_tokens = 0;  // 0: up to the context's end
};

enum class Finish { none, stop, length, cancelled, error };

struct TokenLogprob {
  float logprob = 0;
  std::vector<std::pair<int32_t, float>> top;
};

// What one sequence got since the last delivery.
struct TokenEvent {
  uint64_t sequence = 0;
  std::vector<int32_t> ids;
  std::vector<TokenLogprob> logprobs;  // one per id when asked for
  Finish finish = Finish::none;        // the last event of a sequence carries it
  Status error;
  int prompt_tokens = 0, cached_tokens = 0;  // cached: of the prompt, not computed again
  int drafted_tokens = 0, accepted_tokens = 0;  // guessed and run so far; of these, those that came true
  int predicted_drafted = 0, predicted_accepted = 0;  // the same, of the guesses that were taken from `predicted`
};

struct EngineStats {
  int running = 0, waiting = 0;
  int64_t kv_tokens_used = 0, kv_tokens_total = 0;
  int64_t tokens_generated = 0, tokens_prefilled = 0;
  int64_t tokens_drafted = 0, tokens_accepted = 0;  // by speculation; accepted ones are among the generated
  double tokens_per_second = 0;  // generated, over the last seconds
};

class Engine {
 public:
  using Progress = std::function<void(double fraction)>;
  using Sink = std::function<void(std::vector<TokenEvent>&&)>;  // called on the scheduler's thread, once a step

  static Status load(const EngineOptions& options, const Progress& progress, std::unique_ptr<Engine>* out);
  virtual ~Engine() = default;  // cancels everything, joins the threads

  virtual const EngineInfo& info() const = 0;
  virtual void start(Sink sink) = 0;
  // Queues a sequence. invalid_argument: empty prompt, an id outside the vocabulary, prompt >= context, a bad
  // parameter.
  virtual Status submit(GenerateRequest request, uint64_t* sequence) = 0;
  virtual void cancel(uint64_t sequence) = 0;  // its last event has Finish::cancelled; unknown ids are ignored
  virtual EngineStats stats() const = 0;

  // Inspection, without the scheduler: logits (ids.size(), vocab_size) of one sequence; the first `prefill` ids are fed
  // at once (0: all), the rest one by one.
  virtual Status logits(const std::vector<int32_t>& ids, size_t prefill, std::vector<float>* out) = 0;
};

// One thing that `switchyard bench` measures. Cases of one call share the loaded model and take turns, so that their
// numbers compare even where memory bandwidth changes from minute to minute.
struct BenchCase {
  bool prefill = false;  // else generation
  int tokens = 64;       // of each sequence
  int batch = 1;         // sequences at once
  int depth = 0;         // tokens that are there before
  int drafted = 0;       // generation: tokens that every step verifies for each sequence, all in vain
  bool exact_head = false;    // every logit, though the head could be screened
  bool busy_neighbour = false;  // beside a thread that takes what it can of a core
};
struct BenchOptions {
  EngineOptions engine;
  std::vector<BenchCase> cases;
  int repetitions = 5;
};
struct BenchRun {
  std::string test;  // "pp512", "tg64"
  int batch = 1, depth = 0, drafted = 0, threads = 0;
  std::string mode, head;
  bool busy_neighbour = false;
  double tokens_per_s = 0;     // median
  double bytes_per_token = 0;  // weights and KV read per generated token (distinct experts counted)
  double gb_per_s = 0;         // bytes_per_token * tokens_per_s / 1e9
  double stream_gb_per_s = 0;  // a plain read of the engine's own weights in this process, interleaved; median
  double ratio = 0;            // median of each repetition's own gb_per_s / stream_gb_per_s
  std::vector<double> samples;  // tokens_per_s of each repetition: those of one number ran next to each other
};
struct BenchReport {
  EngineInfo info;
  std::vector<BenchRun> runs;
  double load_s = 0;
  double best_gb_per_s = 0;  // the best plain read of huge pages of its own that this process saw
  int64_t rss_bytes = 0, weight_bytes = 0;
};
Status bench(const BenchOptions& options, const Engine::Progress& progress, BenchReport* out);

}  // namespace switchyard
