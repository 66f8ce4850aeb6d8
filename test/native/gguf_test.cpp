// Hostile and broken GGUF headers: every one ends in a Status that says what is wrong, none in a crash, none takes memory that the
// file only claims to need. GGUF_MUTATIONS=N for a longer run.
#include "gguf.h"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <new>
#include <random>

#include "check.h"
#include "gguf_builder.h"
#include "gguf_config.h"
#include "tokenizer_gguf.h"

namespace {

size_t allocated = 0;  // since it was last set to 0, by this program's one thread

void* counted(size_t bytes) {
  allocated += bytes;
  if (void* memory = std::malloc(bytes == 0 ? 1 : bytes)) return memory;
  throw std::bad_alloc();
}

}  // namespace

void* operator new(size_t bytes) { return counted(bytes); }
void* operator new[](size_t bytes) { return counted(bytes); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, size_t) noexcept { std::free(memory); }

using namespace switchyard;

namespace {

Status parse(const std::string& file, std::unique_ptr<Gguf>* out) {
  // Reads beyond what the parser may ask for are the test's to find: the source checks them.
  const GgufSource source{"test", file.size(), [&](uint64_t offset, size_t bytes, void* to) {
                            CHECK(offset <= file.size() && bytes <= file.size() - offset);
                            std::memcpy(to, file.data() + offset, bytes);
                            return Status();
                          }};
  return Gguf::read(source, out);
}

void check_refused(const std::string& file, Code code, const std::string& reason) {
  std::unique_ptr<Gguf> gguf;
  const Status status = parse(file, &gguf);
  if (!CHECK(status.code == code)) std::fprintf(stderr, "  code %s, expected: %s\n", code_name(status.code), reason.c_str());
  if (!CHECK(status.message.find(reason) != std::string::npos))
    std::fprintf(stderr, "  \"%s\" lacks \"%s\"\n", status.message.c_str(), reason.c_str());
}
void check_invalid(const std::string& file, const std::string& reason) { check_refused(file, Code::invalid_file, reason); }
void check_invalid(const GgufBuilder& builder, const std::string& reason) { check_invalid(builder.build(), reason); }

GgufBuilder two_tensors() {
  GgufBuilder builder;
  builder.text("general.architecture", "gpt-oss").u32("n", 7);
  builder.tensor({"a", 0, {2, 3}, std::string(24, 'a')}).tensor({"b", 39, {1, 2, 64}, std::string(68, 'b')});
  return builder;
}

void test_values() {
  GgufBuilder builder = two_tensors();
  builder.key("u8", 0, "\xff").key("i8", 1, "\xff").key("u16", 2, "\xff\xff").key("i16", 3, "\xff\xff");
  builder.key("i32", 5, little_endian(int32_t(-5))).key("u64", 10, little_endian(uint64_t(1) << 40));
  builder.key("huge", 10, little_endian(UINT64_MAX)).key("i64", 11, little_endian(int64_t(-1) << 40));
  builder.key("yes", 7, "\x01").key("f64", 12, little_endian(0.25)).f32("f32", 1.5f).text("s", "text").text("empty", "");
  builder.strings("list", {"a", "", "bc"}).ints("ints", {3, -4}).strings("none", {});
  for (const uint32_t version : {2u, 3u}) {
    builder.version = version;
    std::unique_ptr<Gguf> gguf;
    if (!CHECK_OK(parse(builder.build(), &gguf))) return;
    const auto integer = [&](const char* key) {
      int64_t value = 0;
      CHECK_OK(gguf->get_integer(key, INT64_MIN, INT64_MAX, &value));
      return value;
    };
    CHECK_EQ(integer("u8"), 255);
    CHECK_EQ(integer("i8"), -1);
    CHECK_EQ(integer("u16"), 65535);
    CHECK_EQ(integer("i16"), -1);
    CHECK_EQ(integer("n"), 7);
    CHECK_EQ(integer("i32"), -5);
    CHECK_EQ(integer("u64"), int64_t(1) << 40);
    CHECK_EQ(integer("i64"), int64_t(-1) * (int64_t(1) << 40));
    CHECK_EQ(integer("yes"), 1);
    double number = 0;
    CHECK_OK(gguf->get_number("f32", 0, 2, &number));
    CHECK_EQ(number, 1.5);
    CHECK_OK(gguf->get_number("f64", 0, 2, &number));
    CHECK_EQ(number, 0.25);
    CHECK_OK(gguf->get_number("i32", -5, 2, &number));
    CHECK_EQ(number, -5.0);
    std::string_view text;
    CHECK_OK(gguf->get_string("s", &text));
    CHECK_EQ(text, std::string("text"));
    std::vector<std::string_view> list;
    CHECK_OK(gguf->get_strings("list", &list));
    CHECK(list == (std::vector<std::string_view>{"a", "", "bc"}));
    CHECK_OK(gguf->get_strings("none", &list));
    CHECK(list.empty());
    std::vector<int64_t> ints;
    CHECK_OK(gguf->get_integers("ints", -4, 3, &ints));
    CHECK(ints == (std::vector<int64_t>{3, -4}));
    CHECK_OK(gguf->get_integers("n", 0, 7, &ints));  // one is an array of one
    CHECK(ints == (std::vector<int64_t>{7}));

    bool found = true;
    int64_t value = 77;
    CHECK_OK(gguf->get_integer("missing", 0, 1, &value, &found));
    CHECK(!found && value == 77);
    const auto check = [&](const Status& status, const std::string& message) {
      CHECK(status.code == Code::invalid_file);
      CHECK_EQ(status.message, "test: " + message);
    };
    check(gguf->get_integer("missing", 0, 1, &value), "missing: is missing");
    check(gguf->get_integer("n", 0, 6, &value), "n: must be 0 to 6, is 7");
    check(gguf->get_integer("huge", INT64_MIN, INT64_MAX, &value), "huge: is no integer");
    check(gguf->get_integer("s", 0, 6, &value), "s: is no integer");
    check(gguf->get_integer("f32", 0, 6, &value), "f32: is no integer");
    check(gguf->get_integer("ints", 0, 6, &value), "ints: is an array, expected an integer");
    check(gguf->get_integers("list", 0, 6, &ints), "list: is no integer");
    check(gguf->get_number("yes", 0, 1, &number), "yes: is no number");
    check(gguf->get_number("f32", 0, 1, &number), "f32: is out of range");
    check(gguf->get_string("n", &text), "n: is no string");
    check(gguf->get_string("list", &text), "list: is no string");
    check(gguf->get_strings("s", &list), "s: is no array of strings");
    check(gguf->get_strings("ints", &list), "ints: is no array of strings");

    CHECK_EQ(gguf->tensors().size(), size_t(2));
    CHECK_EQ(gguf->tensors()[0].describe(), std::string("F32 [2, 3]"));
    CHECK_EQ(gguf->tensors()[1].describe(), std::string("MXFP4 [1, 2, 64]"));
    CHECK_EQ(gguf->tensors()[0].offset % 32, uint64_t(0));
    CHECK_EQ(gguf->tensors()[1].offset, gguf->tensors()[0].offset + 32);
    CHECK_EQ(gguf->tensors()[1].bytes, uint64_t(68));
  }
}

void test_headers() {
  const std::string good = two_tensors().build();
  check_invalid("", "too short");
  check_invalid("GGU", "too short");
  check_invalid("GGML" + good.substr(4), "no GGUF file");
  check_invalid("GGUF", "past the file's end");
  const auto versioned = [&](uint32_t version) { return "GGUF" + little_endian(version) + good.substr(8); };
  check_refused(versioned(1), Code::unsupported, "GGUF version 1; versions 2 and 3");
  check_refused(versioned(4), Code::unsupported, "GGUF version 4");
  check_refused(versioned(0x03000000), Code::unsupported, "big-endian");
  check_refused(versioned(0), Code::unsupported, "GGUF version 0");
  for (size_t size = 8; size + 1 < good.size(); ++size) {  // cut anywhere
    std::unique_ptr<Gguf> gguf;
    const Status status = parse(good.substr(0, size), &gguf);
    if (size < good.size() - 28) CHECK(status.code == Code::invalid_file);  // the last tensor ends 28 before the padding does
  }

  GgufBuilder builder = two_tensors();
  builder.more_tensors = 1;  // it is looked for in the data
  check_refused(builder.build(), Code::unsupported, "tensor \"\" is of the unknown type");
  builder.more_tensors = int64_t(1) << 40;
  check_invalid(builder, "tensors, more than any model has");
  builder.more_tensors = -3;
  check_invalid(builder, "tensors, more than any model has");
  builder = two_tensors();
  builder.more_keys = int64_t(1) << 40;
  check_invalid(builder, "keys, more than any model has");

  const auto with = [](const std::string& name, uint32_t type, const std::string& value) {
    return two_tensors().key(name, type, value);
  };
  const uint64_t most = UINT64_MAX;
  check_invalid(with("", 4, little_endian(1)), "an empty key");
  check_invalid(with("n", 4, little_endian(1)), "key \"n\" is given twice");
  check_invalid(with("k", 13, little_endian(1)), "unknown type 13");
  check_invalid(with(std::string(65536, 'k'), 4, little_endian(1)), "a string of 65536 bytes");
  check_invalid(with("k", 8, little_endian(most)), "past the file's end");
  check_invalid(with("k", 8, little_endian(uint64_t(1) << 63)), "past the file's end");
  check_refused(with("k", 9, little_endian(9u) + little_endian(most)).build(), Code::unsupported, "array of arrays");
  for (const uint32_t type : {0u, 4u, 8u, 10u})
    check_invalid(with("k", 9, little_endian(type) + little_endian(uint64_t(1) << 40)), "past the file's end");
  check_invalid(with("k", 9, little_endian(10u) + little_endian(most / 4)), "an array of");
  check_invalid(with("general.alignment", 4, little_endian(0u)), "general.alignment: must be 1 to");
  check_invalid(with("general.alignment", 4, little_endian(48u)), "power of two");
  check_invalid(with("general.alignment", 4, little_endian(1u << 31)), "general.alignment: must be");
  check_invalid(with("general.alignment", 8, gguf_string("32")), "general.alignment: is no integer");
}

void test_tensors() {
  const auto one = [](uint32_t type, const std::vector<uint64_t>& shape, size_t bytes) {
    GgufBuilder builder;
    return builder.tensor({"a", type, shape, std::string(bytes, 'x')});
  };
  std::unique_ptr<Gguf> gguf;
  CHECK_OK(parse(one(0, {}, 4).build(), &gguf));
  CHECK_OK(parse(one(8, {3, 32}, 102).build(), &gguf));
  CHECK_OK(parse(GgufBuilder().build(), &gguf));
  check_refused(one(5, {4}, 16).build(), Code::unsupported, "tensor \"a\" is of the unknown type 5");
  check_refused(one(1000, {4}, 16).build(), Code::unsupported, "unknown type 1000");
  check_invalid(one(0, {1, 1, 1, 1, 4}, 16), "has 5 dimensions");
  check_invalid(one(0, {4, 0}, 16), "a dimension of 0");
  check_invalid(one(8, {32, 33}, 4000), "not made of whole blocks of 32");
  check_invalid(one(12, {2, 128}, 4000), "not made of whole blocks of 256");
  check_invalid(one(0, {uint64_t(1) << 32, uint64_t(1) << 32}, 16), "its size overflows");
  check_invalid(one(0, {uint64_t(1) << 62}, 16), "its size overflows");
  check_invalid(one(0, {uint64_t(1) << 61}, 16), "past the file's end");
  check_invalid(one(0, {64}, 16), "past the file's end");
  check_invalid(GgufBuilder().tensor({std::string(65, 'n'), 0, {4}, std::string(16, 'x')}), "a string of 65 bytes");

  const auto two = [](const std::string& name, int64_t shift) {
    GgufBuilder builder;
    builder.tensor({"a", 0, {16}, std::string(64, 'x')}).tensor({name, 0, {8}, std::string(32, 'y'), shift});
    return builder.tensor({"tail", 24, {512}, std::string(512, 'z'), 0});
  };
  CHECK_OK(parse(two("b", 0).build(), &gguf));
  check_invalid(two("a", 0), "tensor \"a\" is given twice");
  check_invalid(two("b", 1), "not aligned");
  check_invalid(two("b", -32), "\"a\" and \"b\" overlap");
  check_invalid(two("b", -64), "overlap");
  check_invalid(two("b", 64), "overlap");
  check_invalid(two("b", 1 << 20), "past the file's end");
  check_invalid(two("b", int64_t(UINT64_MAX) - 127), "its place overflows");
  check_invalid(two("b\x1b[31m\n", -32), "\"b?[31m?\"");

  GgufBuilder wide = two("b", 0);
  wide.alignment = 256;
  wide.u32("general.alignment", 256);
  CHECK_OK(parse(wide.build(), &gguf));
  CHECK_EQ(gguf->tensors()[1].offset % 256, uint64_t(0));
}

GgufBuilder small_model() {
  GgufBuilder builder;
  builder.text("general.architecture", "gpt-oss").u32("gpt-oss.block_count", 1).u32("gpt-oss.embedding_length", 32);
  builder.u32("gpt-oss.context_length", 4096).u32("gpt-oss.feed_forward_length", 64).u32("gpt-oss.expert_count", 4);
  builder.u32("gpt-oss.expert_used_count", 2).u32("gpt-oss.attention.head_count", 4);
  builder.u32("gpt-oss.attention.head_count_kv", 2).u32("gpt-oss.attention.key_length", 16);
  builder.u32("gpt-oss.attention.value_length", 16).u32("gpt-oss.attention.sliding_window", 8);
  builder.f32("gpt-oss.attention.layer_norm_rms_epsilon", 1e-5f).f32("gpt-oss.rope.freq_base", 150000);
  builder.text("gpt-oss.rope.scaling.type", "yarn").f32("gpt-oss.rope.scaling.factor", 32);
  builder.u32("gpt-oss.rope.scaling.original_context_length", 128);
  builder.tokenizer({{"th", 1}, {"the", 1}, {"<|start|>", 3}, {"<|return|>", 4}, {"[PAD260]", 5}}, {"t h", "th e"});
  builder.u32("tokenizer.ggml.eos_token_id", 259);
  return builder.tensor({"token_embd.weight", 30, {261, 32}, std::string(261 * 64, 'e')});
}

Status config_of(const Gguf& file, ModelConfig* config) {
  const auto shape_of = [&](const std::string& name) {
    const auto found = std::find_if(file.tensors().begin(), file.tensors().end(), [&](const auto& tensor) { return tensor.name == name; });
    return found == file.tensors().end() ? nullptr : &found->shape;
  };
  return config_from_gguf(file, shape_of, config);
}

Status read_all(const std::string& file) {
  std::unique_ptr<Gguf> gguf;
  ModelConfig config;
  TokenizerTables tables;
  if (Status status = parse(file, &gguf); !status.ok()) return status;
  if (Status status = config_of(*gguf, &config); !status.ok()) return status;
  return read_gguf_tokenizer(*gguf, &tables);
}

// Whatever a few changed, missing or added bytes do, all that reads a header either refuses or stays inside of it.
void test_mutations() {
  const char* setting = std::getenv("GGUF_MUTATIONS");
  const int rounds = setting ? std::atoi(setting) : 10000;
  std::mt19937_64 random(17);
  const std::string good = small_model().build(), tiny = two_tensors().build();
  CHECK_OK(read_all(good));
  size_t accepted = 0, most = 0;
  for (int round = 0; round < rounds; ++round) {
    std::string file = round % 4 == 0 ? good : tiny;
    for (uint64_t changes = 1 + random() % 4; changes > 0 && !file.empty(); --changes) {
      const size_t at = random() % std::min<size_t>(file.size(), round % 3 == 0 ? 1100 : 8192);
      const uint64_t likely[] = {0, 1, 8, 9, 32, 0xff, 1ull << 31, 1ull << 32, 1ull << 40, 1ull << 62, 1ull << 63, UINT64_MAX, file.size()};
      const uint64_t number = likely[random() % std::size(likely)];
      switch (random() % 6) {
        case 0: file[at] = char(random()); break;
        case 1: file[at] = char(file[at] + (random() % 2 ? 1 : -1)); break;
        case 2: file.erase(at, 1 + random() % 9); break;
        case 3: file.insert(at, 1 + random() % 9, char(random())); break;
        case 4: std::memcpy(&file[at], &number, std::min<size_t>(random() % 2 ? 4 : 8, file.size() - at)); break;
        case 5:
          if (random() % 8 == 0) file.resize(random() % file.size());
          break;
      }
    }
    allocated = 0;
    const Status status = read_all(file);
    most = std::max(most, allocated - std::min(allocated, file.size() * 16));
    CHECK(status.ok() || status.code == Code::invalid_file || status.code == Code::unsupported);
    accepted += status.ok();
  }
  std::printf("%d mutations, %zu accepted, at most %zu bytes of memory beyond what the file's size explains\n", rounds, accepted, most);
  CHECK(accepted > 0);  // changes in the data or in names are not the reader's business
  CHECK(most < size_t(1) << 20);
}

void check_config(const GgufBuilder& builder, Code code, const std::string& reason) {
  std::unique_ptr<Gguf> gguf;
  ModelConfig config;
  if (!CHECK_OK(parse(builder.build(), &gguf))) return;
  const Status status = config_of(*gguf, &config);
  CHECK(status.code == code);
  if (!CHECK(status.message.find(reason) != std::string::npos))
    std::fprintf(stderr, "  \"%s\" lacks \"%s\"\n", status.message.c_str(), reason.c_str());
}

ModelConfig config_of(const GgufBuilder& builder) {
  std::unique_ptr<Gguf> gguf;
  ModelConfig config;
  if (CHECK_OK(parse(builder.build(), &gguf))) CHECK_OK(config_of(*gguf, &config));
  return config;
}

void test_config() {
  const ModelConfig config = config_of(small_model());
  CHECK_EQ(config.num_hidden_layers, 1);
  CHECK_EQ(config.hidden_size, 32);
  CHECK_EQ(config.intermediate_size, 64);
  CHECK_EQ(config.num_experts, 4);
  CHECK_EQ(config.experts_per_token, 2);
  CHECK_EQ(config.vocab_size, 261);
  CHECK_EQ(config.head_dim, 16);
  CHECK_EQ(config.num_attention_heads, 4);
  CHECK_EQ(config.num_key_value_heads, 2);
  CHECK_EQ(config.sliding_window, 8);
  CHECK_EQ(config.max_position_embeddings, 4096);
  CHECK_EQ(config.rms_norm_eps, 1e-5f);
  CHECK_EQ(config.swiglu_limit, 7.0f);
  CHECK(config.tie_word_embeddings && !config.attention_bias && config.is_sliding == std::vector<bool>{true});
  CHECK_EQ(config.rope.theta, 150000.0);
  CHECK_EQ(config.rope.factor, 32.0);
  CHECK_EQ(config.rope.beta_fast, 32.0);
  CHECK_EQ(config.rope.beta_slow, 1.0);
  CHECK_EQ(config.rope.original_max_position_embeddings, 128.0);
  CHECK_EQ(config.rope.attention_factor, 0.0);
  CHECK(!config.rope.truncate);

  const std::string g = "gpt-oss.";
  const auto with = [&](const std::string& name, uint32_t value) { return small_model().remove(g + name).u32(g + name, value); };
  // Arrays of one value each, of the layers' number or not.
  CHECK_EQ(config_of(small_model().remove(g + "attention.head_count_kv").ints(g + "attention.head_count_kv", {1, 1})).num_key_value_heads, 1);
  check_config(small_model().remove(g + "attention.head_count_kv").ints(g + "attention.head_count_kv", {1, 2}), Code::unsupported,
               "gpt-oss.attention.head_count_kv: differs from layer to layer");
  check_config(small_model().remove(g + "attention.head_count_kv").ints(g + "attention.head_count_kv", {}), Code::invalid_file,
               "gpt-oss.attention.head_count_kv: is empty");
  // Defaults.
  CHECK_EQ(config_of(small_model().remove(g + "attention.head_count_kv")).num_key_value_heads, 4);
  CHECK_EQ(config_of(small_model().remove(g + "attention.key_length").remove(g + "attention.value_length")).head_dim, 8);
  CHECK_EQ(config_of(small_model().remove(g + "rope.freq_base")).rope.theta, 10000.0);
  CHECK_EQ(config_of(small_model().remove(g + "rope.scaling.original_context_length")).rope.original_max_position_embeddings, 4096.0);
  CHECK_EQ(config_of(small_model().remove(g + "rope.scaling.factor")).rope.factor, 1.0);
  CHECK_EQ(config_of(with("expert_feed_forward_length", 96)).intermediate_size, 96);
  CHECK_EQ(config_of(with("vocab_size", 300)).vocab_size, 300);
  CHECK_EQ(config_of(small_model().remove("tokenizer.ggml.tokens")).vocab_size, 261);  // the embedding's
  // A concentration on top of YaRN's own.
  const double twice = config_of(small_model().f32(g + "rope.scaling.attn_factor", 2)).rope.attention_factor;
  CHECK(std::abs(twice - 2 * 1.3465735902799727) < 1e-12);
  // Which layers slide.
  const auto layers = [&](const GgufBuilder& builder) { return config_of(builder).is_sliding; };
  CHECK(layers(with("block_count", 5)) == (std::vector<bool>{true, false, true, false, true}));
  CHECK(layers(with("block_count", 4).u32(g + "attention.sliding_window_pattern", 3)) == (std::vector<bool>{true, true, false, true}));
  CHECK(layers(with("block_count", 2).u32(g + "attention.sliding_window_pattern", 0)) == (std::vector<bool>{true, true}));
  CHECK(layers(with("block_count", 3).ints(g + "attention.sliding_window_pattern", {0, 1, 1})) == (std::vector<bool>{false, true, true}));
  check_config(with("block_count", 3).ints(g + "attention.sliding_window_pattern", {0, 1}), Code::invalid_file, "has 2 entries for 3 layers");

  check_config(small_model().remove("general.architecture"), Code::invalid_file, "general.architecture: is missing");
  check_config(small_model().remove("general.architecture").text("general.architecture", "llama"), Code::unsupported,
               "general.architecture: only gpt-oss models are supported, this is \"llama\"");
  for (const char* key : {"block_count", "embedding_length", "context_length", "feed_forward_length", "expert_count",
                          "expert_used_count", "attention.head_count", "attention.sliding_window"}) {
    check_config(small_model().remove(g + key), Code::invalid_file, g + key + ": is missing");
    check_config(with(key, 0), Code::invalid_file, g + key + ": must be ");
    check_config(with(key, UINT32_MAX), Code::invalid_file, g + key + ": must be ");
  }
  check_config(with("embedding_length", 48), Code::invalid_file, "multiple of 32");
  check_config(with("feed_forward_length", 33), Code::invalid_file, "multiple of 32");
  check_config(with("attention.key_length", 15).remove(g + "attention.value_length"), Code::invalid_file, "must be even");
  check_config(with("attention.value_length", 8), Code::unsupported, "gpt-oss.attention.value_length: is 8");
  check_config(with("rope.dimension_count", 8), Code::unsupported, "gpt-oss.rope.dimension_count: is 8");
  check_config(with("attention.head_count_kv", 3), Code::invalid_file, "must be a multiple of attention.head_count_kv");
  check_config(with("expert_used_count", 5), Code::invalid_file, "must be at most expert_count, 4");
  check_config(small_model().remove(g + "rope.scaling.type"), Code::invalid_file, "gpt-oss.rope.scaling.type: is missing");
  check_config(small_model().remove(g + "rope.scaling.type").text(g + "rope.scaling.type", "linear"), Code::unsupported, "\"linear\"");
  check_config(small_model().f32(g + "rope.scaling.yarn_attn_factor", 2), Code::unsupported, "yarn_attn_factor: is 2");
  check_config(small_model().f32(g + "rope.freq_base_swa", 10000), Code::unsupported, "freq_base_swa: is 10000");
  check_config(small_model().remove("tokenizer.ggml.tokens").strings("tokenizer.ggml.tokens", {}), Code::invalid_file, "a vocabulary of 0");
}

void check_tokenizer(const GgufBuilder& builder, Code code, const std::string& reason) {
  std::unique_ptr<Gguf> gguf;
  TokenizerTables tables;
  if (!CHECK_OK(parse(builder.build(), &gguf))) return;
  const Status status = read_gguf_tokenizer(*gguf, &tables);
  CHECK(status.code == code);
  if (!CHECK(status.message.find(reason) != std::string::npos))
    std::fprintf(stderr, "  \"%s\" lacks \"%s\"\n", status.message.c_str(), reason.c_str());
}

// A value of each layer, of a million layers: no more memory than the list itself.
void test_long_lists() {
  std::vector<int32_t> counts(1 << 20);
  for (size_t i = 0; i < counts.size(); ++i) counts[i] = int32_t(1 + i);
  std::unique_ptr<Gguf> gguf;
  const std::string key = "gpt-oss.context_length";
  if (!CHECK_OK(parse(small_model().remove(key).ints(key, counts).build(), &gguf))) return;
  ModelConfig config;
  allocated = 0;
  const Status status = config_of(*gguf, &config);
  CHECK(status.code == Code::unsupported && status.message.find("context_length: differs from layer to layer") != std::string::npos);
  CHECK(allocated < counts.size() * 9);
}

void test_tokenizer() {
  std::unique_ptr<Gguf> gguf;
  TokenizerTables tables;
  if (!CHECK_OK(parse(small_model().build(), &gguf)) || !CHECK_OK(read_gguf_tokenizer(*gguf, &tables))) return;
  CHECK_EQ(tables.size(), 261);
  CHECK_EQ(tables.bytes_of(257), std::string("the"));
  CHECK_EQ(tables.find("<|start|>"), -1);
  CHECK(tables.is_special(258) && tables.is_special(259) && tables.is_special(260) && !tables.is_special(257));
  CHECK(tables.eos_ids == std::vector<int32_t>{259});
  CHECK(tables.merge_of(tables.find("th"), tables.find("e")).id == 257);

  const std::string t = "tokenizer.ggml.";
  const auto with = [&](const std::string& name, const std::string& value) { return small_model().remove(t + name).text(t + name, value); };
  for (const char* key : {"model", "pre", "tokens", "token_type", "merges"})
    check_tokenizer(small_model().remove(t + key), Code::invalid_file, t + key + ": is missing");
  check_tokenizer(with("model", "llama"), Code::unsupported, "tokenizer.ggml.model: \"llama\" is not supported");
  check_tokenizer(with("pre", "llama-bpe"), Code::unsupported, "the pre-tokenizer \"llama-bpe\" is not supported");
  check_tokenizer(with("pre", "default"), Code::unsupported, "\"default\"");
  check_tokenizer(small_model().remove(t + "token_type").ints(t + "token_type", {1}), Code::invalid_file, "1 types for 261 tokens");
  check_tokenizer(small_model().remove(t + "merges").strings(t + "merges", {"t h", "x"}), Code::invalid_file, "merge 1: a merge names");
  check_tokenizer(small_model().remove(t + "merges").strings(t + "merges", {"t \xc4"}), Code::invalid_file, "outside the byte-level alphabet");
  check_tokenizer(small_model().remove(t + "eos_token_id").u32(t + "eos_token_id", 261), Code::invalid_file, "must be 0 to 260");
  check_tokenizer(small_model().ints(t + "eos_token_ids", std::vector<int32_t>(1000, 259)), Code::invalid_file,
                  "eos_token_ids: has 1000 ids, more than any model ends by");
  check_tokenizer(small_model().remove(t + "tokens").remove(t + "token_type").strings(t + "tokens", {"a"}).ints(t + "token_type", {1}),
                  Code::invalid_file, "has no token of its own");
  check_tokenizer(small_model().remove(t + "tokens").remove(t + "token_type").strings(t + "tokens", {"a", "ab c"}).ints(t + "token_type", {1, 1}),
                  Code::invalid_file, "token 1, \"ab c\": outside");
  check_tokenizer(small_model().remove(t + "tokens").remove(t + "token_type").strings(t + "tokens", {"a", "a"}).ints(t + "token_type", {1, 1}),
                  Code::invalid_file, "token 1, \"a\": a token is given twice");
  for (const int32_t type : {0, 2, 4, 6})
    check_tokenizer(small_model().remove(t + "tokens").remove(t + "token_type").strings(t + "tokens", {"a"}).ints(t + "token_type", {type}),
                    Code::unsupported, "token 0, \"a\": a token of type");
}

}  // namespace

int main() {
  test_values();
  test_headers();
  test_tensors();
  test_config();
  test_long_lists();
  test_tokenizer();
  test_mutations();
  return check_result();
}
