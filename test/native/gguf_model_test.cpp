// A model from a GGUF file gives what its safetensors give, bit for bit, in every form that the converters write; Q8_0 within a
// bound in the modes that round it, and exactly in mode exact. And what is wrong with a file is said.
#include <algorithm>

#include "engine.h"
#include "gguf_model.h"

using namespace switchyard;

namespace {

struct Run {
  std::string mode, isa, dense = "bf16";
};
const std::vector<Run> kRuns = {{"exact", "scalar"}, {"exact", "auto"}, {"bf16", "auto"}, {"fast", "scalar"}, {"fast", "auto"}, {"fast", "auto", "int8"}};

std::unique_ptr<Engine> load(const std::string& path, const Run& run, const std::string& cache = "", Status* refused = nullptr) {
  EngineOptions options;
  options.model_path = path;
  options.mode = run.mode;
  options.isa = run.isa;
  options.dense = run.dense;
  options.threads = 2;
  options.weights_cache = cache;
  std::unique_ptr<Engine> engine;
  const Status status = Engine::load(options, {}, &engine);
  if (refused) {
    *refused = status;
  } else {
    CHECK_OK(status);
  }
  return engine;
}

std::vector<float> logits_of(const std::string& path, const Run& run, const std::vector<int32_t>& ids) {
  std::vector<float> logits;
  const auto engine = load(path, run);
  if (engine) CHECK_OK(engine->logits(ids, 0, &logits));
  return logits;
}

double relative_error(const std::vector<float>& a, const std::vector<float>& b) {
  double error = 0, size = 0;
  if (!CHECK(a.size() == b.size() && !a.empty())) return INFINITY;
  for (size_t i = 0; i < a.size(); ++i) {
    error += std::pow(double(a[i]) - double(b[i]), 2);
    size += std::pow(double(b[i]), 2);
  }
  return std::sqrt(error / size);
}

const GgufForm kForms[] = {{Experts::split, false, "BF16"}, {Experts::split, true, "F32"}, {Experts::fused, true, "BF16"},
                           {Experts::ollama, true, "BF16"}, {Experts::ollama, false, "F32"}};

void test_same_as_safetensors(const std::string& name) {
  const std::vector<int32_t> ids = read_golden(name).back().ids;
  const ScratchFolder folder;
  std::vector<std::string> paths;
  for (const GgufForm& form : kForms)
    paths.push_back(folder.write(std::to_string(paths.size()) + ".gguf", GgufModel(name, form).builder.build()));
  for (const Run& run : kRuns) {
    const auto expected = logits_of(golden_folder() + name + "/hf", run, ids);
    for (const std::string& path : paths) {
      if (!CHECK(logits_of(path, run, ids) == expected))
        std::fprintf(stderr, "  %s, mode %s, %s, dense %s\n", path.c_str(), run.mode.c_str(), run.isa.c_str(), run.dense.c_str());
    }
  }
}

// Unquantised experts, no biases, no YaRN.
void test_dense_experts() {
  const std::vector<int32_t> ids = read_golden("plain").back().ids;
  const ScratchFolder folder;
  for (const Experts experts : {Experts::split, Experts::fused, Experts::ollama}) {
    const std::string path = folder.write("plain.gguf", GgufModel("plain", {experts, false, "F32", "F32"}).builder.build());
    for (const Run& run : {kRuns[1], kRuns[2], kRuns[4]})
      CHECK(logits_of(path, run, ids) == logits_of(golden_folder() + "plain/hf", run, ids));
  }
  const auto form = [&](const char* type) {
    return folder.write("q8.gguf", GgufModel("plain", {Experts::split, false, type, type}).builder.build());
  };
  const auto expected = logits_of(form("Q8_0 as F32"), kRuns[1], ids);
  const std::string q8 = form("Q8_0");
  CHECK(logits_of(q8, kRuns[1], ids) == expected);
  const double error = relative_error(logits_of(q8, kRuns[2], ids), expected);
  std::printf("plain, Q8_0 experts, bf16: relative error %.2g\n", error);
  CHECK(error < 0.2);
  // bf16 experts may alternate, too.
  const std::string bf16 = folder.write("bf16.gguf", GgufModel("plain", {Experts::split, false, "BF16", "BF16"}).builder.build());
  const std::string fused = folder.write("fused.gguf", GgufModel("plain", {Experts::ollama, true, "BF16", "BF16"}).builder.build());
  for (const Run& run : {kRuns[1], kRuns[4]}) CHECK(logits_of(bf16, run, ids) == logits_of(fused, run, ids));
}

// tiny-b: its tokens go to all experts, so that no rounding chooses another one.
void test_q8() {
  const std::vector<int32_t> ids = read_golden("tiny-b").back().ids;
  const ScratchFolder folder;
  const std::string q8 = folder.write("q8.gguf", GgufModel("tiny-b", {Experts::split, false, "Q8_0"}).builder.build());
  const std::string same = folder.write("f32.gguf", GgufModel("tiny-b", {Experts::split, false, "Q8_0 as F32"}).builder.build());
  const auto exact = logits_of(same, kRuns[1], ids);
  for (const Run& run : {kRuns[0], kRuns[1]}) CHECK(logits_of(q8, run, ids) == logits_of(same, run, ids));
  CHECK(logits_of(q8, kRuns[3], ids) != exact);
  const auto stacked = folder.write("stacked.gguf", GgufModel("tiny-b", {Experts::ollama, true, "Q8_0"}).builder.build());
  for (size_t i = 2; i < kRuns.size(); ++i) {
    const Run& run = kRuns[i];
    const auto logits = logits_of(q8, run, ids);
    const double error = relative_error(logits, exact), plain = relative_error(logits_of(same, {run.mode, run.isa}, ids), exact);
    std::printf("tiny-b Q8_0, %s %s dense %s: relative error %.2g, with every bit of the weights %.2g\n", run.mode.c_str(),
                run.isa.c_str(), run.dense.c_str(), error, plain);
    CHECK(error < 0.2);
    CHECK(logits_of(stacked, run, ids) == logits);
  }
}

void test_tied_head() {
  GgufModel model("tiny-a", {});
  std::string head, embedding;
  std::erase_if(model.builder.tensors, [](const auto& tensor) { return tensor.name == "output.weight"; });
  const ScratchFolder folder;
  const std::vector<int32_t> ids = read_golden("tiny-a").back().ids;
  const std::string tied = folder.write("tied.gguf", model.builder.build());
  for (auto& tensor : model.builder.tensors) {
    if (tensor.name == "token_embd.weight") embedding = tensor.data;
  }
  model.builder.tensor({"output.weight", 30, {320, 64}, embedding});
  const std::string twice = folder.write("twice.gguf", model.builder.build());
  for (const Run& run : kRuns) CHECK(logits_of(tied, run, ids) == logits_of(twice, run, ids));
}

// How many tensors all parts have together, where they say it.
void test_counts(const ScratchFolder& folder, GgufBuilder first, GgufBuilder second, GgufBuilder third) {
  const auto outcome = [&](int in_first, int in_third, const std::string& message) {
    const auto counted = [](GgufBuilder part, int count) { return part.u32("split.tensors.count", uint32_t(count)).build(); };
    const int all = int(first.tensors.size() + second.tensors.size() + third.tensors.size());
    const std::string path = folder.write("n-00001-of-00003.gguf", counted(first, all + in_first));
    folder.write("n-00002-of-00003.gguf", counted(second, all + in_first));
    folder.write("n-00003-of-00003.gguf", counted(third, all + in_third));
    Status status;
    load(path, kRuns[4], "", &status);
    CHECK(status.ok() == message.empty());
    if (!CHECK(status.message.find(message) != std::string::npos)) std::fprintf(stderr, "  \"%s\"\n", status.message.c_str());
  };
  outcome(0, 0, "");
  outcome(0, 1, "n-00003-of-00003.gguf: split.tensors.count: is not that of " + folder.path("n-00001"));
  outcome(1, 1, "n-00001-of-00003.gguf: split.tensors.count: is ");
  first.remove("split.no").u32("split.no", 3);
  outcome(0, 0, "split.no: is 3 of 3 parts, counted from 0");
}

// What llama-gguf-split --no-tensor-first-split makes: what a model has is not what its first part has.
void test_first_part_of_keys(const ScratchFolder& folder, const std::string& alone) {
  const std::vector<int32_t> ids = read_golden("tiny-a").back().ids;
  GgufBuilder first = GgufModel("tiny-a", {}).builder, second;
  std::swap(first.tensors, second.tensors);
  first.remove("gpt-oss.vocab_size");
  for (auto& [number, part] : {std::pair{0, &first}, std::pair{1, &second}})
    part->key("split.no", 2, little_endian(uint16_t(number))).key("split.count", 2, little_endian(uint16_t(2)));
  const std::string path = folder.write("k-00001-of-00002.gguf", first.build());
  folder.write("k-00002-of-00002.gguf", second.build());
  CHECK(logits_of(path, kRuns[1], ids) == logits_of(alone, kRuns[1], ids));
}

void test_parts() {
  const ScratchFolder folder;
  const std::vector<int32_t> ids = read_golden("tiny-a").back().ids;
  GgufModel first("tiny-a", {});
  GgufBuilder second, third;
  for (auto& [number, part] : {std::pair{1, &second}, std::pair{2, &third}}) {
    part->key("split.no", 2, little_endian(uint16_t(number))).key("split.count", 2, little_endian(uint16_t(3)));
    for (int i = 0; i < 20; ++i) {
      part->tensor(first.builder.tensors.back());
      first.builder.tensors.pop_back();
    }
  }
  const std::string alone = folder.write("alone.gguf", GgufModel("tiny-a", {}).builder.build());
  first.builder.key("split.no", 2, little_endian(uint16_t(0))).key("split.count", 2, little_endian(uint16_t(3)));
  const std::string path = folder.write("m-00001-of-00003.gguf", first.builder.build());
  const std::string other = folder.write("m-00002-of-00003.gguf", second.build());
  const auto refused = [&](const std::string& file, Code code, const std::string& message) {
    Status status;
    load(file, kRuns[4], "", &status);
    CHECK(status.code == code);
    if (!CHECK(status.message.find(message) != std::string::npos)) std::fprintf(stderr, "  \"%s\"\n", status.message.c_str());
  };
  refused(path, Code::not_found, "m-00003-of-00003.gguf: no such file");
  folder.write("m-00003-of-00003.gguf", second.build());
  refused(path, Code::invalid_file, "m-00003-of-00003.gguf: says that it is part 2 of 3");
  folder.write("m-00003-of-00003.gguf", third.build());
  for (const Run& run : {kRuns[1], kRuns[4]}) CHECK(logits_of(path, run, ids) == logits_of(alone, run, ids));
  test_first_part_of_keys(folder, alone);
  refused(other, Code::invalid_argument, "is part 2 of 3: give the first, " + path);
  test_counts(folder, first.builder, second, third);
  const std::string renamed = folder.write("renamed.gguf", first.builder.build());
  refused(renamed, Code::unsupported, "does not end in -00001-of-00003.gguf");
}

void test_refused() {
  const ScratchFolder folder;
  const auto refused = [&](const GgufBuilder& builder, Code code, const std::string& message) {
    const std::string path = folder.write("model.gguf", builder.build());
    for (const Run& run : {kRuns[1], kRuns[4]}) {
      Status status;
      load(path, run, "", &status);
      CHECK(status.code == code);
      if (!CHECK(status.message.find(message) != std::string::npos && status.message.starts_with(path)))
        std::fprintf(stderr, "  \"%s\" lacks \"%s\"\n", status.message.c_str(), message.c_str());
    }
  };
  const GgufModel model("tiny-a", {});
  const auto changed = [&](const std::string& name, const std::function<void(GgufBuilder::Tensor*)>& change) {
    GgufBuilder builder = model.builder;
    for (auto& tensor : builder.tensors) {
      if (tensor.name == name) change(&tensor);
    }
    return builder;
  };
  const auto renamed = [&](const std::string& name) { return changed(name, [](auto* tensor) { tensor->name = "other"; }); };
  for (const char* name : {"token_embd.weight", "output_norm.weight", "blk.1.attn_q.weight", "blk.2.attn_sinks.weight",
                           "blk.0.ffn_gate_inp.bias", "blk.0.ffn_gate_exps.weight", "blk.1.ffn_up_exps.bias", "blk.2.ffn_down_exps.weight"})
    refused(renamed(name), Code::invalid_file, "the checkpoint lacks tensor \"" + std::string(name) + "\"");
  refused(changed("blk.1.attn_k.weight", [](auto* tensor) { tensor->shape = {32, 128}; }), Code::invalid_file,
          "tensor \"blk.1.attn_k.weight\" is BF16 [32, 128], the file's keys call for BF16 [64, 64]");
  refused(changed("blk.1.attn_k.weight",
                  [](auto* tensor) {
                    tensor->type = 12;
                    tensor->shape = {16, 256};
                  }),
          Code::unsupported, "tensor \"blk.1.attn_k.weight\" is Q4_K, F32, F16, BF16, Q8_0 and MXFP4 can be read");
  refused(changed("blk.1.ffn_up_exps.weight", [](auto* tensor) { tensor->type = 4; }), Code::unsupported, "is type 4, F32");
  refused(changed("blk.1.attn_k.weight",
                  [](auto* tensor) {
                    tensor->type = 39;
                  }),
          Code::invalid_file, "tensor \"blk.1.attn_k.weight\" is MXFP4 [64, 64], expected BF16, F16, F32 or Q8_0");
  refused(changed("blk.1.ffn_up_exps.weight",
                  [](auto* tensor) {
                    tensor->type = 30;
                    tensor->data.resize(8 * 96 * 64 * 2);
                  }),
          Code::unsupported, "\"blk.1.ffn_gate_exps.weight\" and \"blk.1.ffn_up_exps.weight\" are of different types");
  // Row 5 of expert 1, its second block of two: element (96 + 5) * 2 + 1.
  refused(changed("blk.1.ffn_up_exps.weight", [](auto* tensor) { tensor->data[17 * 203] = char(255); }), Code::invalid_file,
          "tensor \"blk.1.ffn_up_exps.weight\" has the scale 255 (not a number) at element 203");
  refused(changed("blk.1.ffn_down_exps.weight", [](auto* tensor) { tensor->data[17 * 7] = char(255); }), Code::invalid_file,
          "tensor \"blk.1.ffn_down_exps.weight\" has the scale 255 (not a number) at element 7");
  GgufBuilder fewer = model.builder;
  refused(fewer.remove("gpt-oss.block_count").u32("gpt-oss.block_count", 2), Code::invalid_file,
          "has tensor \"blk.2.attn_norm.weight\", but its block_count is 2");
  GgufBuilder scaled = model.builder;
  refused(scaled.tensor({"blk.0.attn_q.scale", 0, {1}, std::string(4, '\0')}), Code::unsupported,
          "tensor \"blk.0.attn_q.scale\" is none that gpt-oss has");
  GgufBuilder llama = model.builder;
  refused(llama.remove("general.architecture").text("general.architecture", "qwen3moe"), Code::unsupported, "\"qwen3moe\"");
  Status status;
  load(folder.path("nothing.gguf"), kRuns[4], "", &status);
  CHECK(status.code == Code::not_found);
  load(folder.write("text.gguf", "{\"not\": \"a model\"}"), kRuns[4], "", &status);
  CHECK(status.code == Code::invalid_file && status.message.find("is no GGUF file") != std::string::npos);
  const std::string whole = model.builder.build();
  for (const size_t bytes : {whole.size() / 2, whole.size() / 4, size_t(2000), size_t(3)}) {
    load(folder.write("cut.gguf", whole.substr(0, bytes)), kRuns[4], "", &status);
    CHECK(status.code == Code::invalid_file);
  }
}

// So large a file that a place in it does not fit what we note places in; only some file systems have them.
void test_enormous() {
  const std::string folder = "/dev/shm/switchyard-enormous-" + std::to_string(std::random_device()());
  std::error_code error;
  if (!std::filesystem::create_directory(folder, error)) return;
  const std::string path = folder + "/model.gguf";
  write_text(path, GgufModel("tiny-a", {}).builder.build());
  std::filesystem::resize_file(path, uintmax_t(1) << 48, error);
  Status status;
  load(path, kRuns[4], "", &status);
  if (!error) CHECK(status.code == Code::invalid_file && status.message.ends_with(": 281474976710656 bytes, more than any model has"));
  std::filesystem::remove_all(folder, error);
}

// Files of llama.cpp's own package (test/fixtures/gguf/make.py), whose Q8_0 holds the very numbers of the BF16.
void test_fixture() {
  const std::string folder = std::string(SWITCHYARD_SOURCE_DIR) + "/test/fixtures/gguf/";
  std::vector<int32_t> ids(40);
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = int32_t(i * i * 31 % 275);
  for (const Run& run : kRuns) {
    const auto expected = logits_of(folder + "hf", run, ids);
    CHECK(expected.size() == ids.size() * 275);
    CHECK(logits_of(folder + "bf16.gguf", run, ids) == expected);
    if (run.dense == "bf16") CHECK(logits_of(folder + "q8_0.gguf", run, ids) == expected);
  }
}

void test_cache() {
  const ScratchFolder folder;
  const std::vector<int32_t> ids = read_golden("tiny-b").back().ids;
  const GgufModel model("tiny-b", {Experts::split, false, "Q8_0"});
  const std::string path = folder.write("model.gguf", model.builder.build()), cache = folder.path("cache");
  for (const Run& run : {kRuns[4], kRuns[5]}) {
    const auto expected = logits_of(path, run, ids);
    for (const char* outcome : {"written to ", "read from "}) {
      const auto engine = load(path, run, cache);
      std::vector<float> logits;
      if (!engine || !CHECK_OK(engine->logits(ids, 0, &logits))) continue;
      if (!CHECK(engine->info().weights_cache.starts_with(outcome))) std::fprintf(stderr, "  %s\n", engine->info().weights_cache.c_str());
      CHECK(logits == expected);
    }
  }
  // Another model under the same name.
  GgufModel other("tiny-b", {Experts::split, false, "Q8_0"});
  for (auto& tensor : other.builder.tensors) {
    if (tensor.name == "blk.0.ffn_up_exps.weight") tensor.data[1] = char(tensor.data[1] ^ 1);
  }
  folder.write("model.gguf", other.builder.build());
  const auto engine = load(path, kRuns[4], cache);
  if (engine) CHECK(engine->info().weights_cache.starts_with("written to "));
}

}  // namespace

int main() {
  for (const char* name : {"tiny-a", "tiny-b", "wide"}) test_same_as_safetensors(name);
  test_dense_experts();
  test_q8();
  test_tied_head();
  test_parts();
  test_refused();
  test_enormous();
  test_fixture();
  test_cache();
  return check_result();
}
