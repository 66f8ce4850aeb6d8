#include "gguf_config.h"

#include <algorithm>
#include <cmath>

namespace switchyard {
namespace {

class ConfigReader {
 public:
  ConfigReader(const Gguf& file, const ShapeOf& shape_of, std::string prefix)
      : file_(file), shape_of_(shape_of), prefix_(std::move(prefix)) {}

  std::string key(const char* name) const { return prefix_ + "." + name; }

  // The format lets most of them differ from layer to layer; the engine does not.
  Status read_integer(const char* name, int low, int high, int* out, bool* found = nullptr) const {
    std::vector<int64_t> items;
    if (Status status = file_.get_integers(key(name), low, high, &items, found); !status.ok()) return status;
    if (found && !*found) return {};
    if (items.empty()) return file_.error(key(name), "is empty");
    if (std::any_of(items.begin(), items.end(), [&](int64_t item) { return item != items[0]; }))
      return file_.unsupported(key(name), "differs from layer to layer");
    *out = int(items[0]);
    return {};
  }

  Status read_number(const char* name, double low, double high, double* out) const {
    bool found = false;
    return file_.get_number(key(name), low, high, out, &found);
  }

  // A setting that may be missing or have the one value that the engine computes with.
  Status only_number(const char* name, double allowed) const {
    double value = allowed;
    if (Status status = read_number(name, -1e30, 1e30, &value); !status.ok()) return status;
    if (std::fabs(value - allowed) <= 1e-6 * std::max(1.0, std::fabs(allowed))) return {};
    return file_.unsupported(key(name), "is " + std::to_string(value) + ", only " + std::to_string(allowed) + " is supported");
  }

  const Gguf& file() const { return file_; }
  const std::vector<uint64_t>* shape_of(const char* tensor) const { return shape_of_(tensor); }

 private:
  const Gguf& file_;
  const ShapeOf& shape_of_;
  std::string prefix_;
};

Status read_sizes(const ConfigReader& reader, ModelConfig* config) {
  struct {
    const char* name;
    int low, high;
    int* out;
  } const fields[] = {
      {"block_count", 1, kMaxLayers, &config->num_hidden_layers},
      {"embedding_length", 32, kMaxWidth, &config->hidden_size},
      {"expert_count", 1, kMaxExperts, &config->num_experts},
      {"expert_used_count", 1, kMaxExperts, &config->experts_per_token},
      {"attention.head_count", 1, kMaxHeads, &config->num_attention_heads},
      {"attention.sliding_window", 1, kMaxPositions, &config->sliding_window},
  };
  for (const auto& field : fields) {
    if (Status status = reader.read_integer(field.name, field.low, field.high, field.out); !status.ok()) return status;
  }
  bool found = false;
  Status status = reader.read_integer("expert_feed_forward_length", 32, kMaxWidth, &config->intermediate_size, &found);
  if (status.ok() && !found) status = reader.read_integer("feed_forward_length", 32, kMaxWidth, &config->intermediate_size);
  config->num_key_value_heads = config->num_attention_heads;
  config->max_position_embeddings = 0;
  if (status.ok()) status = reader.read_integer("attention.head_count_kv", 1, kMaxHeads, &config->num_key_value_heads, &found);
  if (status.ok()) status = reader.read_integer("context_length", 1, kMaxPositions, &config->max_position_embeddings);
  if (!status.ok()) return status;
  config->head_dim = config->hidden_size / config->num_attention_heads;
  if (Status status = reader.read_integer("attention.key_length", 2, kMaxHeadDim, &config->head_dim, &found); !status.ok())
    return status;
  for (const char* name : {"attention.value_length", "rope.dimension_count"}) {
    if (Status status = reader.only_number(name, config->head_dim); !status.ok()) return status;
  }
  return {};
}

// The key, or the tokens, or, in a file that has neither, what the embedding has.
Status read_vocabulary_size(const ConfigReader& reader, ModelConfig* config) {
  bool found = false;
  if (Status status = reader.read_integer("vocab_size", 1, kMaxVocabulary, &config->vocab_size, &found); !status.ok() || found)
    return status;
  std::vector<std::string_view> tokens;
  if (Status status = reader.file().get_strings("tokenizer.ggml.tokens", &tokens, &found); !status.ok()) return status;
  uint64_t size = tokens.size();
  const std::vector<uint64_t>* embedding = reader.shape_of("token_embd.weight");
  if (!found && embedding && !embedding->empty()) size = embedding->front();
  if (size < 1 || size > kMaxVocabulary)
    return reader.file().error("tokenizer.ggml.tokens", "a vocabulary of " + std::to_string(size) + " tokens");
  config->vocab_size = int(size);
  return {};
}

// Every second layer, or what the file says: a period, of which the last layer sees everything, or a list.
Status read_sliding_layers(const ConfigReader& reader, ModelConfig* config) {
  const std::string key = reader.key("attention.sliding_window_pattern");
  std::vector<int64_t> pattern{2};
  bool found = false;
  if (Status status = reader.file().get_integers(key, 0, kMaxLayers, &pattern, &found); !status.ok()) return status;
  const size_t layers = size_t(config->num_hidden_layers);
  const bool is_list = reader.file().is_array(key);
  if (is_list && pattern.size() != layers)
    return reader.file().error(key, "has " + std::to_string(pattern.size()) + " entries for " + std::to_string(layers) + " layers");
  config->is_sliding.resize(layers);
  for (size_t layer = 0; layer < layers; ++layer) {
    config->is_sliding[layer] =
        is_list ? pattern[layer] != 0 : pattern[0] == 0 || int64_t(layer) % pattern[0] < pattern[0] - 1;
  }
  return {};
}

// ggml floors and ceils the ends of YaRN's ramp; the models were trained without, and no key speaks of it.
Status read_rope(const ConfigReader& reader, GgufWriter writer, ModelConfig* config) {
  RopeConfig& rope = config->rope;
  rope.theta = 10000;
  rope.factor = 1;
  rope.original_max_position_embeddings = config->max_position_embeddings;
  double attention_factor = 1;
  const Gguf& file = reader.file();
  const std::string type_key = reader.key("rope.scaling.type");
  // Ollama's files do not say it, and its engine computes nothing else.
  std::string_view type = writer == GgufWriter::ollama ? "yarn" : "linear";
  bool found = false;
  for (Status status : {
           file.get_string(type_key, &type, &found),
           reader.read_number("rope.freq_base", 1.0001, 1e12, &rope.theta),
           reader.read_number("rope.scaling.factor", 1e-3, 1e6, &rope.factor),
           reader.read_number("rope.scaling.original_context_length", 1, 1e9, &rope.original_max_position_embeddings),
           reader.read_number("rope.scaling.yarn_beta_fast", 1e-6, 1e6, &rope.beta_fast),
           reader.read_number("rope.scaling.yarn_beta_slow", 1e-6, 1e6, &rope.beta_slow),
           reader.read_number("rope.scaling.attn_factor", 1e-3, 1e3, &attention_factor),
           reader.only_number("rope.scaling.yarn_ext_factor", 1),
           reader.only_number("rope.scaling.yarn_attn_factor", 1),
           reader.only_number("rope.scaling.yarn_log_multiplier", 0),
           reader.only_number("rope.freq_base_swa", rope.theta),
       }) {
    if (!status.ok()) return status;
  }
  // YaRN stretches.
  if (type == "none" || (type == "yarn" && rope.factor <= 1)) rope.factor = 1;
  if (rope.factor != 1 && type != "yarn") {
    if (!found) return file.error(type_key, "is missing, while rope.scaling.factor is given");
    return file.unsupported(type_key, "rope type " + Gguf::quoted(type) + " is not supported (yarn, none)");
  }
  // On top of what YaRN itself multiplies by.
  if (attention_factor != 1) rope.attention_factor = attention_factor * (0.1 * std::log(rope.factor) + 1);
  return {};
}

Status check(const ConfigReader& reader, ModelConfig* config) {
  const Gguf& file = reader.file();
  if (config->hidden_size % 32 != 0) return file.error(reader.key("embedding_length"), "must be a multiple of 32");
  if (config->intermediate_size % 32 != 0)
    return file.error(reader.key("expert_feed_forward_length"), "must be a multiple of 32");
  if (config->head_dim < 2 || config->head_dim % 2 != 0) return file.error(reader.key("attention.key_length"), "must be even");
  if (config->num_attention_heads % config->num_key_value_heads != 0)
    return file.error(reader.key("attention.head_count"),
                      "must be a multiple of attention.head_count_kv, which is " + std::to_string(config->num_key_value_heads));
  if (config->experts_per_token > config->num_experts)
    return file.error(reader.key("expert_used_count"), "must be at most expert_count, " + std::to_string(config->num_experts) +
                                                           ", is " + std::to_string(config->experts_per_token));
  return {};
}

}  // namespace

Status gguf_writer(const Gguf& file, GgufWriter* out) {
  constexpr const char* kKey = "general.architecture";
  std::string_view architecture;
  if (Status status = file.get_string(kKey, &architecture); !status.ok()) return status;
  if (architecture != "gpt-oss" && architecture != "gptoss")
    return file.unsupported(kKey, "only gpt-oss models are supported, this is " + Gguf::quoted(architecture));
  *out = architecture == "gptoss" ? GgufWriter::ollama : GgufWriter::llama_cpp;
  return {};
}

Status config_from_gguf(const Gguf& file, const ShapeOf& shape_of, ModelConfig* out) {
  GgufWriter writer{};
  if (Status status = gguf_writer(file, &writer); !status.ok()) return status;
  const ConfigReader reader(file, shape_of, writer == GgufWriter::ollama ? "gptoss" : "gpt-oss");
  ModelConfig config;
  double eps = 1e-5;
  for (auto read : {read_sizes, read_vocabulary_size, read_sliding_layers, check}) {
    if (Status status = read(reader, &config); !status.ok()) return status;
  }
  if (Status status = read_rope(reader, writer, &config); !status.ok()) return status;
  if (Status status = reader.read_number("attention.layer_norm_rms_epsilon", 0, 1, &eps); !status.ok()) return status;
  config.rms_norm_eps = float(eps);
  config.attention_bias = shape_of("blk.0.attn_q.bias") || shape_of("blk.0.attn_qkv.bias");
  config.tie_word_embeddings = !shape_of("output.weight");
  *out = std::move(config);
  return {};
}

}  // namespace switchyard
