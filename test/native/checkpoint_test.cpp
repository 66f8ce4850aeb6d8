// Hostile and broken model folders: every one ends in a Status that says what is wrong, none in a crash. The mutation
// loops earn their keep under AddressSanitizer (cmake -DSWITCHYARD_SANITIZE=address,undefined).
#include "checkpoint.h"

#include <sys/stat.h>

#include <filesystem>
#include <random>

#include "config.h"
#include "model_folder.h"
#include "weights.h"

using namespace switchyard;
namespace fs = std::filesystem;

namespace {

std::string image(const std::string& header, const std::string& data) {
  std::string file(8, '\0');
  const uint64_t length = header.size();
  std::memcpy(file.data(), &length, sizeof length);
  return file + header + data;
}

// The header of a file with such a content. Whatever it says, its tensors lie inside of the file.
Status parse(const std::string& content, TensorMap* tensors) {
  static const ModelFolder folder;
  const std::string path = folder.path("parsed.safetensors");
  fs::remove(path);  // some file systems wait for the disk where a file is written anew
  write_text(path, content);
  std::unique_ptr<File> file;
  CHECK_OK(File::open(path, &file));
  if (!file) return {};
  Status status = read_header(*file, 7, tensors);
  for (const auto& [name, tensor] : *tensors) {
    CHECK(tensor.place.file == 7 && tensor.bytes <= content.size() && tensor.place.offset <= content.size() - tensor.bytes);
  }
  return status;
}

void check_refused(const std::string& file, const std::string& reason) {
  TensorMap tensors;
  const Status status = parse(file, &tensors);
  if (!CHECK(status.code == Code::invalid_file)) std::fprintf(stderr, "  accepted, expected: %s\n", reason.c_str());
  if (!CHECK(status.message.find(reason) != std::string::npos))
    std::fprintf(stderr, "  \"%s\" lacks \"%s\"\n", status.message.c_str(), reason.c_str());
}

std::string entry(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return "{\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":" + offsets + "}";
}

void test_headers() {
  TensorMap tensors;
  CHECK_OK(parse(image("{\"__metadata__\":{\"format\":\"pt\"},\"b\":" + entry("U8", "[3]", "[8,11]") +
                           ",\"a\":" + entry("BF16", "[2,2]", "[0,8]") + "}  ",
                       std::string(11, 'x')),
                 &tensors));
  CHECK_EQ(tensors.size(), size_t(2));
  CHECK_EQ(tensors["a"].describe(), std::string("BF16 [2, 2]"));
  CHECK_EQ(tensors["b"].bytes, uint64_t(3));
  TensorMap scalar;  // a shape of no dimensions is one element; a zero dimension is none
  CHECK_OK(parse(image("{\"a\":" + entry("F32", "[]", "[0,4]") + ",\"b\":" + entry("I64", "[0,5]", "[4,4]") + "}",
                       std::string(4, 'x')),
                 &scalar));

  const std::string data(8, 'x'), good = "{\"a\":" + entry("U8", "[8]", "[0,8]") + "}";
  check_refused("", "too short");
  check_refused(std::string(7, '\0'), "too short");
  check_refused(std::string("\xff\xff\xff\xff\xff\xff\xff\xff", 8) + "{}", "exceeds 100 MB");
  check_refused(std::string("\x03\x00\x00\x00\x00\x00\x00\x00", 8) + "{}", "does not fit");
  check_refused(image("", ""), "byte 0");
  check_refused(image("[]", ""), "object");
  check_refused(image("{\"a\":1}", ""), "object");
  check_refused(image(good.substr(0, good.size() - 1), data), "byte");
  const auto one = [&](const std::string& dtype, const std::string& shape, const std::string& offsets) {
    return image("{\"a\":" + entry(dtype, shape, offsets) + "}", data);
  };
  check_refused(one("Q4", "[8]", "[0,8]"), "dtype");
  check_refused(one("U8", "[9]", "[0,8]"), "need 9");
  check_refused(one("BF16", "[8]", "[0,8]"), "need 16");
  check_refused(one("U8", "[8]", "[0,9]"), "past the file's end");
  check_refused(one("U8", "[8]", "[8,0]"), "before begin");
  check_refused(one("U8", "[8]", "[0]"), "[begin, end]");
  check_refused(one("U8", "[8]", "[0,8,9]"), "[begin, end]");
  check_refused(one("U8", "8", "[0,8]"), "array");
  check_refused(one("U8", "[-8]", "[0,8]"), "negative");
  check_refused(one("U8", "[8]", "[-1,7]"), "negative");
  check_refused(one("U8", "[8.5]", "[0,8]"), "integer");
  check_refused(one("U8", "[4294967296,4294967296]", "[0,8]"), "overflows");
  check_refused(one("F32", "[4611686018427387904]", "[0,8]"), "overflows");
  check_refused(one("U8", "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,8]", "[0,8]"), "dimensions");
  check_refused(one("U8", "[7]", "[0,7]"), "data section has 8");
  check_refused(one("U8", "[7]", "[1,8]"), "hole");
  check_refused(image("{\"a\":{\"dtype\":\"U8\",\"shape\":[8]}}", data), "data_offsets");
  const auto two = [&](const std::string& a, const std::string& b) {
    return image("{\"a\":" + entry("U8", "[4]", a) + ",\"b\":" + entry("U8", "[4]", b) + "}", data);
  };
  check_refused(two("[0,4]", "[0,4]"), "overlap");
  check_refused(two("[0,4]", "[2,6]"), "overlap");
  check_refused(two("[0,4]", "[5,9]"), "past the file's end");
  check_refused(image("{\"a\":" + entry("U8", "[4]", "[0,4]") + ",\"a\":" + entry("U8", "[4]", "[4,8]") + "}", data),
                "twice");
}

// Whatever a few changed, missing or added bytes do, the reader either refuses or stays inside the file.
void test_mutations() {
  std::mt19937 random(11);
  const std::string small =
      image("{\"__metadata__\":{\"format\":\"pt\"},\"x.weight\":" + entry("BF16", "[2,3]", "[0,12]") +
                ",\"x.bias\":" + entry("F32", "[3]", "[12,24]") + ",\"y\":" + entry("U8", "[2,2,2]", "[24,32]") + "}",
            std::string(32, 'd'));
  const std::string real = read_text(golden_folder() + "tiny-a/hf/model.safetensors");
  constexpr char kLikely[] = "0123456789-+.eE[]{}\",: \\u\xff";
  size_t accepted = 0;
  for (int round = 0; round < 20000; ++round) {
    const bool use_real = round % 200 == 0;
    std::string file = use_real ? real : small;
    for (uint32_t changes = 1 + random() % 4; changes > 0 && !file.empty(); --changes) {
      const size_t at = random() % std::min<size_t>(file.size(), 8192);
      switch (random() % 5) {
        case 0: file[at] = char(random()); break;
        case 1: file[at] = kLikely[random() % (sizeof kLikely - 1)]; break;
        case 2: file.erase(at, 1 + random() % 3); break;
        case 3: file.insert(at, 1, kLikely[random() % (sizeof kLikely - 1)]); break;
        case 4:
          if (random() % 8 == 0) file.resize(random() % file.size());
          break;
      }
    }
    TensorMap tensors;
    const Status status = parse(file, &tensors);
    CHECK(status.ok() || status.code == Code::invalid_file);
    accepted += status.ok();
  }
  CHECK(accepted > 0);  // changes in the data or in names are not the reader's business
}

class Folder : public ModelFolder {
 public:
  using ModelFolder::ModelFolder;
  Status load() const {
    ThreadPool pool(2);
    std::unique_ptr<Weights> weights;
    return Weights::load(path(), Residence::tiled, nullptr, &pool, {}, &weights);
  }
};

void check_status(const Status& status, Code code, const std::string& part) {
  if (!CHECK(status.code == code && status.message.find(part) != std::string::npos)) {
    std::fprintf(stderr, "  got %s \"%s\", expected %s \"...%s...\"\n", code_name(status.code), status.message.c_str(),
                 code_name(code), part.c_str());
  }
}

void test_weights() {
  const std::string weights = "model.safetensors";
  CHECK_OK(Folder().load());
  {
    Folder folder;
    folder.replace(weights, "model.layers.1.self_attn.sinks", "model.layers.1.self_attn.sunks");
    check_status(folder.load(), Code::invalid_file, "lacks tensor \"model.layers.1.self_attn.sinks\"");
  }
  {
    Folder folder;
    folder.replace("config.json", "\"intermediate_size\": 96", "\"intermediate_size\": 128");
    check_status(folder.load(), Code::invalid_file, "U8 [8, 192, 2, 16], config.json calls for U8 [8, 256, 2, 16]");
  }
  {
    Folder folder;
    folder.replace("config.json", "\"num_hidden_layers\": 3", "\"num_hidden_layers\": 2");
    folder.replace("config.json", "\"full_attention\",", "\"full_attention\"");
    folder.edit("config.json", [](std::string* text) {
      text->erase(text->rfind("\"sliding_attention\""), std::string("\"sliding_attention\"").size());
    });
    check_status(folder.load(), Code::invalid_file, "config.json says num_hidden_layers 2");
  }
  {
    Folder folder;
    folder.edit(weights, [](std::string* text) { text->back() = char(255); });  // ends with gate_up_proj_scales
    check_status(folder.load(), Code::invalid_file, "scale 255");
  }
  for (const std::string layer : {"0", "1"}) {  // one tensor of the layer is not quantised
    Folder folder;
    folder.edit(weights, [&](std::string* text) {
      uint64_t length = 0;
      std::memcpy(&length, text->data(), sizeof length);
      std::string header = text->substr(8, length), data = text->substr(8 + length);
      const std::string name = "model.layers." + layer + ".mlp.experts.gate_up_proj", bytes = std::to_string(data.size());
      header.replace(header.find(name + "_blocks"), name.size() + 7, "spare");
      header.replace(header.rfind('}'), 1, ",\"" + name + "\":" + entry("BF16", "[8,64,192]", "[" + bytes + "," +
                                                std::to_string(data.size() + 196608) + "]") + "}");
      *text = image(header, data + std::string(196608, '\0'));
    });
    check_status(folder.load(), Code::unsupported, "some experts are MXFP4");
  }
  {
    Folder folder;
    folder.edit(weights, [](std::string* text) {
      const size_t at = text->find("\"BF16\"", text->find("\"lm_head.weight\""));
      text->replace(at, 6, "\"I16\" ");
    });
    check_status(folder.load(), Code::invalid_file, "expected BF16, F16 or F32");
  }
  {
    Folder folder;
    folder.edit(weights, [](std::string* text) { text->resize(text->size() - 1); });
    check_status(folder.load(), Code::invalid_file, "truncated");
  }
  {
    Folder folder;
    folder.edit(weights, [](std::string* text) { text->clear(); });
    check_status(folder.load(), Code::invalid_file, "too short");
  }
  {
    Folder folder;
    fs::remove(folder.path(weights));
    check_status(folder.load(), Code::not_found, "neither model.safetensors nor");
    fs::create_directory(folder.path(weights));
    check_status(folder.load(), Code::io_error, "not a regular file");
    fs::remove(folder.path(weights));
    CHECK_EQ(mkfifo(folder.path(weights).c_str(), 0600), 0);
    check_status(folder.load(), Code::io_error, "not a regular file");
    // A link whose file is gone is no missing file: what it should lead to is told.
    fs::remove(folder.path(weights));
    fs::create_symlink("../blobs/1234", folder.path(weights));
    check_status(folder.load(), Code::io_error, "a link to ../blobs/1234, which is not there");
    fs::remove(folder.path("config.json"));
    check_status(folder.load(), Code::not_found, "config.json");
    fs::create_symlink("/nowhere/config.json", folder.path("config.json"));
    check_status(folder.load(), Code::io_error, "a link to /nowhere/config.json");
  }
}

// A header whose length puts every tensor at an odd place is legal.
void test_odd_addresses() {
  Folder folder;
  folder.edit("model.safetensors", [](std::string* text) {
    uint64_t header = 0;
    std::memcpy(&header, text->data(), sizeof header);
    text->insert(8 + header, 1, ' ');
    header += 1;
    std::memcpy(text->data(), &header, sizeof header);
  });
  CHECK_OK(folder.load());
}

void test_shards() {
  CHECK_OK(Folder("odd/hf").load());
  const std::string index = "model.safetensors.index.json", shard = "model-00001-of-00002.safetensors";
  for (const std::string bad :
       {"../model-00001-of-00002.safetensors", "/etc/passwd", "", ".", "..", "a\\\\b", ".hidden"}) {
    Folder folder("odd/hf");
    folder.edit(index, [&](std::string* text) {
      for (size_t at; (at = text->find(shard)) != std::string::npos;)
        text->replace(at, shard.size(), "#");  // `bad` may hold it
      for (size_t at; (at = text->find("#")) != std::string::npos;) text->replace(at, 1, bad);
    });
    check_status(folder.load(), Code::invalid_file, "must name a file of the same folder");
  }
  {
    Folder folder("odd/hf");
    fs::remove(folder.path(shard));
    check_status(folder.load(), Code::not_found, shard);
  }
  {
    Folder folder("odd/hf");
    fs::rename(folder.path(shard), folder.path("saved"));
    fs::copy(folder.path("model-00000-of-00002.safetensors"), folder.path(shard));
    check_status(folder.load(), Code::invalid_file, "is not in " + shard);
  }
  {
    Folder folder("odd/hf");
    folder.replace(index, "\"weight_map\"", "\"weight_mop\"");
    check_status(folder.load(), Code::invalid_file, "weight_map");
  }
}

void test_config() {
  const auto with = [](const std::string& from, const std::string& to) {
    std::string text = read_text(golden_folder() + "tiny-a/hf/config.json");
    const size_t at = text.find(from);
    if (CHECK(at != std::string::npos)) text.replace(at, from.size(), to);
    ModelConfig config;
    return parse_config(text, "config.json", &config);
  };
  CHECK_OK(with("\"vocab_size\": 320", "\"vocab_size\": 3.2e2"));
  check_status(with("\"vocab_size\": 320", "\"vocab\": 320"), Code::invalid_file, "\"vocab_size\" is missing");
  check_status(with("\"hidden_size\": 64", "\"hidden_size\": 65"), Code::invalid_file, "multiple of 32");
  check_status(with("\"hidden_size\": 64", "\"hidden_size\": 0"), Code::invalid_file, "hidden_size");
  check_status(with("\"hidden_size\": 64", "\"hidden_size\": 1e18"), Code::invalid_file, "hidden_size");
  check_status(with("\"hidden_size\": 64", "\"hidden_size\": \"64\""), Code::invalid_file, "hidden_size");
  check_status(with("\"num_attention_heads\": 4", "\"num_attention_heads\": 5"), Code::invalid_file,
               "multiple of num_key_value_heads");
  check_status(with("\"num_experts_per_tok\": 2", "\"num_experts_per_tok\": 9"), Code::invalid_file,
               "\"num_experts_per_tok\": must be at most the number of experts, 8, is 9");
  check_status(with("\"head_dim\": 32", "\"head_dim\": 33"), Code::invalid_file, "must be even");
  check_status(with("\"sliding_attention\"", "\"linear_attention\""), Code::invalid_file, "\"layer_types\": entry 0");
  check_status(with("\"num_hidden_layers\": 3", "\"num_hidden_layers\": 4"), Code::invalid_file,
               "3 entries for 4 layers");
  check_status(with("\"model_type\": \"gpt_oss\"", "\"model_type\": \"llama\""), Code::unsupported, "llama");
  check_status(with("\"rope_type\": \"yarn\"", "\"rope_type\": \"longrope\""), Code::unsupported, "longrope");
  check_status(with("\"quant_method\": \"mxfp4\"", "\"quant_method\": \"gptq\""), Code::unsupported, "gptq");
  check_status(with("\"swiglu_limit\": 7.0", "\"swiglu_alpha\": 1.5"), Code::unsupported, "swiglu_alpha");
  check_status(with("\"rms_norm_eps\": 1e-05", "\"rms_norm_eps\": -1"), Code::invalid_file, "out of range");
  check_status(with("{", "["), Code::invalid_file, "byte");
  check_status(with("\"factor\": 32.0,", ""), Code::invalid_file, "\"factor\" is missing");
  check_status(with("\"rope_type\": \"yarn\",", ""), Code::invalid_file, "no \"rope_type\"");
  check_status(with("\"rope_scaling\": {", "\"rope_scaling\": 5, \"was\": {"), Code::invalid_file, "rope_scaling");
  check_status(with("\"truncate\": false", "\"partial_rotary_factor\": 0.5"), Code::unsupported, "partial_rotary_factor");
  check_status(with("\"vocab_size\"", "\"partial_rotary_factor\": 0.5, \"vocab_size\""), Code::unsupported, "partial_rotary_factor");
  check_status(with("\"rope_scaling\": {", "\"rope_scaling\": {\"full_attention\": {},"), Code::unsupported, "each kind of layer");

  ModelConfig hf, original;
  CHECK_OK(load_config(golden_folder() + "tiny-a/hf", &hf));
  CHECK_OK(load_config(golden_folder() + "tiny-a/original", &original));
  CHECK(hf.is_sliding == std::vector<bool>({true, false, true}) && original.is_sliding == hf.is_sliding);
  CHECK_EQ(original.max_position_embeddings, 131072);
  CHECK_EQ(original.rope.truncate, false);
  CHECK_EQ(original.rope.factor, hf.rope.factor);
}

// What a rope object leaves out, as transformers fills it in.
void test_rope_defaults() {
  const auto rope_of = [](const std::string& fields) {
    ModelConfig config;
    CHECK_OK(parse_config("{\"num_hidden_layers\": 1, \"hidden_size\": 32, \"intermediate_size\": 32, \"num_experts\": 1, "
                          "\"experts_per_token\": 1, \"vocab_size\": 9, \"head_dim\": 2, \"num_attention_heads\": 1, "
                          "\"num_key_value_heads\": 1, \"sliding_window\": 1, " + fields + "}", "config.json", &config));
    return config.rope;
  };
  const std::string context = "\"max_position_embeddings\": 1000, ";
  CHECK_EQ(rope_of("\"rope_scaling\": null").factor, 32);
  CHECK_EQ(rope_of("\"rope_scaling\": {}").factor, 32);  // as if it were not there
  CHECK_EQ(rope_of("\"rope_scaling\": {\"rope_theta\": 5e3}").factor, 1);
  CHECK_EQ(rope_of("\"rope_scaling\": {\"rope_theta\": 5e3}").theta, 5e3);
  CHECK_EQ(rope_of("\"rope_parameters\": {\"rope_type\": \"default\", \"attention_factor\": 2}").attention_factor, 0);
  const std::string yarn = "{\"type\": \"yarn\", \"factor\": 4}";
  CHECK_EQ(rope_of(context + "\"rope_scaling\": " + yarn).original_max_position_embeddings, 1000);
  CHECK(rope_of(context + "\"rope_scaling\": " + yarn).truncate);
  CHECK_EQ(rope_of("\"original_max_position_embeddings\": 77, \"rope_scaling\": " + yarn).original_max_position_embeddings, 77);
  CHECK_EQ(rope_of("\"rope_parameters\": {\"rope_type\": \"default\"}, \"rope_scaling\": " + yarn).factor, 4);
  CHECK_EQ(rope_of(context + "\"rope_scaling\": {\"type\": \"yarn\", \"factor\": null, "
                             "\"original_max_position_embeddings\": 250}").factor, 4);
  CHECK_EQ(rope_of("\"rope_scaling_factor\": 0.5").factor, 1);  // the original release's names
}

}  // namespace

int main() {
  test_headers();
  test_mutations();
  test_weights();
  test_odd_addresses();
  test_shards();
  test_config();
  test_rope_defaults();
  return check_result();
}
