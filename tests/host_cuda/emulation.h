// Host emulation of the CUDA features that the kernels use: threads of a block are
// fibers that run in turn until each of them has reached the next warp shuffle.
//
// It shows that a kernel computes the right bits over any grid, not that it is fast
// and not that it is free of races between threads.

#include <math.h>
#include <stdint.h>
#include <string.h>
#include <ucontext.h>

#define __global__
#define __device__
#define __forceinline__ inline

namespace emulation {

struct Dim {
    unsigned int x;
    unsigned int y;
    unsigned int z;
};

constexpr unsigned int MAX_THREADS = 1024;
constexpr unsigned int WARP = 32;
constexpr unsigned int STACK_BYTES = 32768;
constexpr int DIVERGED = 1;  // a shuffle asked a thread that had already returned

}  // namespace emulation

emulation::Dim threadIdx;
emulation::Dim blockIdx;
emulation::Dim blockDim;
emulation::Dim gridDim;
const int warpSize = emulation::WARP;

namespace emulation {

struct Fiber {
    ucontext_t context;
    long long sent[2];  // two slots, so that a fast thread overwrites no unread value
    int parity;
    bool is_done;
    alignas(16) char stack[STACK_BYTES];
};

Fiber fibers[MAX_THREADS];
ucontext_t scheduler;
void (*kernel_call)(void**);
void** kernel_arguments;
int status;

inline void run_thread()
{
    kernel_call(kernel_arguments);
    fibers[threadIdx.x].is_done = true;
}

inline void run_block()
{
    for (unsigned int t = 0; t < blockDim.x; ++t) {
        Fiber& fiber = fibers[t];
        fiber.is_done = false;
        fiber.parity = 0;
        getcontext(&fiber.context);
        fiber.context.uc_stack.ss_sp = fiber.stack;
        fiber.context.uc_stack.ss_size = STACK_BYTES;
        fiber.context.uc_link = &scheduler;
        makecontext(&fiber.context, run_thread, 0);
    }
    for (unsigned int live = blockDim.x; live > 0;) {
        live = 0;
        for (unsigned int t = 0; t < blockDim.x; ++t) {
            if (fibers[t].is_done) {
                continue;
            }
            threadIdx.x = t;
            swapcontext(&scheduler, &fibers[t].context);
            live += fibers[t].is_done ? 0 : 1;
        }
    }
}

// shape = (blocks, threads per block), both along x.
inline int run_grid(void (*call)(void**), const unsigned int* shape, void** arguments)
{
    kernel_call = call;
    kernel_arguments = arguments;
    status = 0;
    gridDim = {shape[0], 1, 1};
    blockDim = {shape[1], 1, 1};
    for (unsigned int block = 0; block < shape[0]; ++block) {
        blockIdx = {block, 0, 0};
        run_block();
    }
    return status;
}

template <unsigned int... I>
struct Indices {};
template <unsigned int N, unsigned int... I>
struct MakeIndices : MakeIndices<N - 1, N - 1, I...> {};
template <unsigned int... I>
struct MakeIndices<0, I...> {
    using Type = Indices<I...>;
};

// Names of parameter types as NumPy writes them, a star before those of pointers.
template <class T>
struct Code;
template <class T>
struct Code<const T> : Code<T> {};
template <>
struct Code<int> {
    static constexpr const char* text = "i4";
};
template <>
struct Code<unsigned int> {
    static constexpr const char* text = "u4";
};
template <>
struct Code<unsigned long long> {
    static constexpr const char* text = "u8";
};
template <>
struct Code<float> {
    static constexpr const char* text = "f4";
};
template <class T>
struct IsPointer {
    static constexpr bool value = false;
    using Target = T;
};
template <class T>
struct IsPointer<T*> {
    static constexpr bool value = true;
    using Target = T;
};

// Calls a kernel with arguments given as an array of pointers, as cudaLaunchKernel.
template <auto kernel>
struct Runner;
template <class... A, void (*kernel)(A...)>
struct Runner<kernel> {
    static void run(void** arguments)
    {
        spread(arguments, typename MakeIndices<sizeof...(A)>::Type());
    }

    template <unsigned int... I>
    static void spread(void** arguments, Indices<I...>)
    {
        kernel(*static_cast<A*>(arguments[I])...);
    }

    static const char* list_types()
    {
        static char text[256] = "";
        if (text[0] == 0) {
            (append<A>(text), ...);
        }
        return text;
    }

    template <class T>
    static void append(char* text)
    {
        strcat(text, IsPointer<T>::value ? " *" : " ");
        strcat(text, Code<typename IsPointer<T>::Target>::text);
    }
};

}  // namespace emulation

inline unsigned long long atomicAdd(
    unsigned long long* address, unsigned long long value)
{
    const unsigned long long before = *address;
    *address = before + value;
    return before;
}

// Every thread of the mask must come here, as on the device.
inline long long __shfl_down_sync(unsigned int, long long value, unsigned int reach)
{
    const unsigned int own = threadIdx.x;
    emulation::Fiber& fiber = emulation::fibers[own];
    const int slot = fiber.parity;
    fiber.parity ^= 1;
    fiber.sent[slot] = value;
    swapcontext(&fiber.context, &emulation::scheduler);
    const unsigned int lane = own % emulation::WARP;
    const unsigned int partner = lane + reach < emulation::WARP ? own + reach : own;
    const emulation::Fiber& other = emulation::fibers[partner];
    if (partner >= blockDim.x || other.is_done || other.parity == slot) {
        emulation::status = emulation::DIVERGED;
        return -1;
    }
    return other.sent[slot];
}

#define EMULATE(kernel)                                                              \
    extern "C" int launch_##kernel(const unsigned int* shape, void** arguments)      \
    {                                                                                \
        return emulation::run_grid(                                                  \
            emulation::Runner<kernel>::run, shape, arguments);                       \
    }                                                                                \
    extern "C" const char* types_##kernel()                                          \
    {                                                                                \
        return emulation::Runner<kernel>::list_types();                              \
    }
