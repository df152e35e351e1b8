// The checkpoint file: named tensors and a few strings, in the safetensors format
// (https://huggingface.co/docs/safetensors), with a checksum.
#pragma once

#include <torch/torch.h>

#include <filesystem>
#include <map>
#include <string>

namespace osc::program {

struct Checkpoint {
  std::map<std::string, std::string> metadata;
  std::map<std::string, torch::Tensor> tensors;  // float32 or int64, on the CPU
};

// Atomic: a reader finds the old checkpoint or the new one. The bytes are a function of the
// contents alone.
void write_checkpoint(const std::filesystem::path& path, const Checkpoint& checkpoint);

// Throws UserError "PATH: reason" for a file that is missing, truncated, altered (its checksum
// differs) or not an osc checkpoint.
Checkpoint read_checkpoint(const std::filesystem::path& path);

}  // namespace osc::program
