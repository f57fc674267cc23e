// burn_cycles: keep every multiprocessor at fused multiply-adds for a number of cycles.
//   x <- a x + b in registers, four independent chains per thread
// One thread per lane of the grid; no memory traffic but one store that never happens,
// so that the compiler keeps the arithmetic. 512 operations per thread and round.
extern "C" __global__ void burn_cycles(long long cycles, float *sink) {
    const long long start = clock64();
    const float a = 0.999999f, b = 1e-6f * (float)(threadIdx.x + 1);
    float w = b, x = b + 1.0f, y = b + 2.0f, z = b + 3.0f;
    while (clock64() - start < cycles) {
#pragma unroll
        for (int i = 0; i < 64; ++i) {
            w = a * w + b;
            x = a * x + b;
            y = a * y + b;
            z = a * z + b;
        }
    }
    if (w + x + y + z < 0.0f) sink[threadIdx.x] = w;
}
