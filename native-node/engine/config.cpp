#include "config.h"

#include <cmath>
#include <memory>

#include "json.h"

namespace switchyard {
namespace {

constexpr uint64_t kMaxConfigBytes = 16u << 20;

struct IntField {
  const char* hf_name;
  const char* other_name;  // a second spelling, or nullptr
  int low, high;
  int* out;
};

Status read_int(const json::Value& root, const IntField& field) {
  json::Value value = root.find(field.hf_name);
  if (!value && field.other_name) value = root.find(field.other_name);
  if (!value || value.is_null()) return root.error(std::string("\"") + field.hf_name + "\" is missing");
  int32_t number = 0;
  if (Status status = value.get(&number); !status.ok()) return status;
  if (number < field.low || number > field.high) {
    return value.error("must be " + std::to_string(field.low) + " to " + std::to_string(field.high) + ", is " +
                       std::to_string(number));
  }
  *field.out = number;
  return {};
}

Status read_positive(const json::Value& object, const char* key, double low, double high, double* out) {
  const json::Value value = object.find(key);
  if (!value || value.is_null()) return {};
  double number = 0;
  if (Status status = value.get(&number); !status.ok()) return status;
  if (!(number >= low && number <= high)) return value.error("is out of range");
  *out = number;
  return {};
}

Status unsupported(const json::Value& value, const std::string& what) {
  return Status::error(Code::unsupported, value.error(what).message);
}

// Hugging Face spells the rotary embedding as an object, in either of two places; an empty one is none.
json::Value find_hf_rope(const json::Value& root) {
  const json::Value scaling = root.find("rope_scaling");
  const bool empty = scaling.type() == json::Type::object && scaling.size() == 0;
  return scaling && !scaling.is_null() && !empty ? scaling : root.find("rope_parameters");
}

Status refuse_other_rope(const json::Value& root, const json::Value& object) {
  for (const json::Value& owner : {root, object}) {
    double part = 1;
    if (Status status = owner.get_optional("partial_rotary_factor", &part); !status.ok()) return status;
    if (part != 1) return unsupported(owner.find("partial_rotary_factor"), "only 1 is supported");
  }
  for (const json::Member& member : object.members()) {
    if (member.value.type() == json::Type::object)
      return unsupported(object, "one for each kind of layer is not supported");
  }
  return {};
}

// "yarn" or "default". An object that says no type is the latter, unless it has what only YaRN needs.
Status read_rope_type(const json::Value& object, std::string* type) {
  json::Value value = object.find("rope_type");
  if (!value || value.is_null()) value = object.find("type");
  if (!value || value.is_null()) {
    *type = "default";
    return object.find("factor") ? object.error("has a \"factor\" but no \"rope_type\"") : Status();
  }
  if (Status status = value.get(type); !status.ok()) return status;
  if (*type == "yarn" || *type == "default") return {};
  return unsupported(value, "rope type \"" + *type + "\" is not supported (yarn, default)");
}

Status read_yarn(const json::Value& object, double max_position_embeddings, RopeConfig* rope) {
  rope->truncate = true;
  rope->original_max_position_embeddings = max_position_embeddings;
  double mscale = 0, mscale_all_dim = 0;
  for (Status status : {
           read_positive(object, "beta_fast", 1e-6, 1e6, &rope->beta_fast),
           read_positive(object, "beta_slow", 1e-6, 1e6, &rope->beta_slow),
           read_positive(object, "original_max_position_embeddings", 1, 1e9, &rope->original_max_position_embeddings),
           read_positive(object, "attention_factor", 1e-3, 1e3, &rope->attention_factor),
           read_positive(object, "mscale", 0, 1e3, &mscale),
           read_positive(object, "mscale_all_dim", 0, 1e3, &mscale_all_dim),
           object.get_optional("truncate", &rope->truncate),
       }) {
    if (!status.ok()) return status;
  }
  if (!object.find("factor")) return object.error("\"factor\" is missing");
  rope->factor = max_position_embeddings / rope->original_max_position_embeddings;  // of null
  if (Status status = read_positive(object, "factor", 1e-3, 1e6, &rope->factor); !status.ok()) return status;
  if (rope->attention_factor == 0 && mscale > 0 && mscale_all_dim > 0 && rope->factor > 1) {
    const double log_factor = std::log(rope->factor);
    rope->attention_factor = (0.1 * mscale * log_factor + 1) / (0.1 * mscale_all_dim * log_factor + 1);
  }
  return {};
}

// As transformers reads it: without a `truncate` key that is true, and a null or absent object means the defaults of
// GptOssConfig, which are those of the released models.
Status read_hf_rope(const json::Value& root, RopeConfig* rope) {
  const json::Value object = find_hf_rope(root);
  const bool absent = !object || object.is_null();
  if (!absent) {
    if (Status status = object.expect(json::Type::object); !status.ok()) return status;
  }
  double max_position_embeddings = 131072;
  std::string type = "yarn";
  for (Status status : {
           refuse_other_rope(root, object),
           read_positive(root, "rope_theta", 1.0001, 1e12, &rope->theta),
           read_positive(object, "rope_theta", 1.0001, 1e12, &rope->theta),
           read_positive(root, "max_position_embeddings", 1, kMaxPositions, &max_position_embeddings),
           absent ? Status() : read_rope_type(object, &type),
       }) {
    if (!status.ok()) return status;
  }
  if (type == "default") {
    rope->factor = 1;
    return {};
  }
  if (!absent) {
    if (Status status = read_yarn(object, max_position_embeddings, rope); !status.ok()) return status;
  }
  // Wins over the object's, in transformers.
  return read_positive(root, "original_max_position_embeddings", 1, 1e9, &rope->original_max_position_embeddings);
}

Status read_original_rope(const json::Value& root, RopeConfig* rope) {
  for (Status status : {
           read_positive(root, "rope_theta", 1.0001, 1e12, &rope->theta),
           read_positive(root, "rope_scaling_factor", 1e-3, 1e6, &rope->factor),
           read_positive(root, "rope_ntk_beta", 1e-6, 1e6, &rope->beta_fast),
           read_positive(root, "rope_ntk_alpha", 1e-6, 1e6, &rope->beta_slow),
           read_positive(root, "initial_context_length", 1, 1e9, &rope->original_max_position_embeddings),
       }) {
    if (!status.ok()) return status;
  }
  rope->factor = std::fmax(rope->factor, 1.0);  // there, less means none
  return {};
}

Status read_layer_types(const json::Value& root, ModelConfig* config) {
  config->is_sliding.resize(config->num_hidden_layers);
  for (int layer = 0; layer < config->num_hidden_layers; ++layer) config->is_sliding[layer] = layer % 2 == 0;
  const json::Value types = root.find("layer_types");
  if (!types || types.is_null()) return {};
  if (Status status = types.expect(json::Type::array); !status.ok()) return status;
  if (types.size() != config->is_sliding.size()) {
    return types.error("has " + std::to_string(types.size()) + " entries for " +
                       std::to_string(config->num_hidden_layers) + " layers");
  }
  size_t layer = 0;
  for (const json::Value& item : types.items()) {
    std::string_view type;
    if (Status status = item.get(&type); !status.ok()) return status;
    if (type != "sliding_attention" && type != "full_attention") {
      return types.error("entry " + std::to_string(layer) + " must be sliding_attention or full_attention");
    }
    config->is_sliding[layer++] = type == "sliding_attention";
  }
  return {};
}

Status refuse_what_the_engine_cannot_compute(const json::Value& root, const ModelConfig& config) {
  std::string_view model_type = "gpt_oss";
  if (Status status = root.get_optional("model_type", &model_type); !status.ok()) return status;
  if (model_type != "gpt_oss") {
    return Status::error(Code::unsupported,
                         root.find("model_type")
                             .error("only gpt_oss models are supported, this is \"" + std::string(model_type) + "\"")
                             .message);
  }
  double alpha = 1.702;
  if (Status status = root.get_optional("swiglu_alpha", &alpha); !status.ok()) return status;
  if (std::fabs(alpha - 1.702) > 1e-6) {
    return Status::error(Code::unsupported, root.find("swiglu_alpha").error("only 1.702 is supported").message);
  }
  const json::Value quantization = root.find("quantization_config");
  if (quantization && !quantization.is_null()) {
    std::string_view method = "mxfp4";
    if (Status status = quantization.get_optional("quant_method", &method); !status.ok()) return status;
    if (method != "mxfp4") {
      return Status::error(
          Code::unsupported,
          quantization.error("only mxfp4 is supported, this is \"" + std::string(method) + "\"").message);
    }
  }
  if (config.hidden_size % 32 != 0) return root.find("hidden_size").error("must be a multiple of 32");
  if (config.intermediate_size % 32 != 0) return root.find("intermediate_size").error("must be a multiple of 32");
  if (config.head_dim % 2 != 0) return root.find("head_dim").error("must be even");
  if (config.num_attention_heads % config.num_key_value_heads != 0) {
    return root.find("num_attention_heads")
        .error("must be a multiple of num_key_value_heads, which is " + std::to_string(config.num_key_value_heads));
  }
  if (config.experts_per_token > config.num_experts) {
    const json::Value per_token = root.find("num_experts_per_tok") ? root.find("num_experts_per_tok")
                                                                   : root.find("experts_per_token");
    return per_token.error("must be at most the number of experts, " + std::to_string(config.num_experts) + ", is " +
                           std::to_string(config.experts_per_token));
  }
  return {};
}

Status read_config(const json::Value& root, ModelConfig* out) {
  if (Status status = root.expect(json::Type::object); !status.ok()) return status;
  ModelConfig config;
  for (const IntField& field : {
           IntField{"num_hidden_layers", nullptr, 1, kMaxLayers, &config.num_hidden_layers},
           IntField{"hidden_size", nullptr, 32, kMaxWidth, &config.hidden_size},
           IntField{"intermediate_size", nullptr, 32, kMaxWidth, &config.intermediate_size},
           IntField{"num_local_experts", "num_experts", 1, kMaxExperts, &config.num_experts},
           IntField{"num_experts_per_tok", "experts_per_token", 1, kMaxExperts, &config.experts_per_token},
           IntField{"vocab_size", nullptr, 1, kMaxVocabulary, &config.vocab_size},
           IntField{"head_dim", nullptr, 2, kMaxHeadDim, &config.head_dim},
           IntField{"num_attention_heads", nullptr, 1, kMaxHeads, &config.num_attention_heads},
           IntField{"num_key_value_heads", nullptr, 1, kMaxHeads, &config.num_key_value_heads},
           IntField{"sliding_window", nullptr, 1, kMaxPositions, &config.sliding_window},
       }) {
    if (Status status = read_int(root, field); !status.ok()) return status;
  }

  // Only the original release writes these two names.
  const bool original = root.find("rope_scaling_factor") || root.find("rope_ntk_alpha");
  if (Status status = original ? read_original_rope(root, &config.rope) : read_hf_rope(root, &config.rope);
      !status.ok()) {
    return status;
  }
  double context = config.rope.original_max_position_embeddings * std::fmax(config.rope.factor, 1.0);
  double eps = 1e-5, limit = 7.0;
  for (Status status : {
           read_positive(root, "max_position_embeddings", 1, kMaxPositions, &context),
           read_positive(root, "rms_norm_eps", 0, 1, &eps),
           read_positive(root, "swiglu_limit", 1e-6, 1e30, &limit),
           root.get_optional("attention_bias", &config.attention_bias),
           root.get_optional("tie_word_embeddings", &config.tie_word_embeddings),
           read_layer_types(root, &config),
           refuse_what_the_engine_cannot_compute(root, config),
       }) {
    if (!status.ok()) return status;
  }
  config.max_position_embeddings = int(std::fmin(context, kMaxPositions));
  config.rms_norm_eps = float(eps);
  config.swiglu_limit = float(limit);
  *out = std::move(config);
  return {};
}

}  // namespace

Status parse_config(std::string text, const std::string& name, ModelConfig* out) {
  std::unique_ptr<json::Document> document;
  if (Status status = json::Document::parse(std::move(text), name, &document); !status.ok()) return status;
  return read_config(document->root(), out);
}

Status load_config(const std::string& folder, ModelConfig* out) {
  std::unique_ptr<json::Document> document;
  if (Status status = json::Document::load(folder + "/config.json", kMaxConfigBytes, &document); !status.ok())
    return status;
  return read_config(document->root(), out);
}

}  // namespace switchyard
