// The same sources as an Android library (AAR). Not run here: see ../README.md.
//
// Expects the core, built for each ABI by the NDK's linker (r28 or newer, whose libraries fit pages of 16 KB; an
// older one needs `-C link-arg=-Wl,-z,max-page-size=16384`), as target/bindings/android/<abi>/libportal.so, and
// the generated code in target/bindings/kotlin. JNA brings its own libraries for each ABI; 5.18.1 is the first
// whose libraries fit pages of 16 KB.
import org.jetbrains.kotlin.gradle.dsl.JvmTarget

plugins {
    id("com.android.library") version "8.13.0"
    id("org.jetbrains.kotlin.android") version "2.4.21"
    id("maven-publish")
}

group = "org.portal"
version = "0.1.0-SNAPSHOT"

val artefacts = providers.gradleProperty("portal.artefacts").getOrElse("../../../target/bindings")

android {
    namespace = "org.portal"
    compileSdk = 35

    defaultConfig {
        // The generated code uses java.time, which is there from 26 on.
        minSdk = 26
        consumerProguardFiles("consumer-rules.pro")
    }
    sourceSets["main"].apply {
        kotlin.srcDirs("../src/main/kotlin", "$artefacts/kotlin")
        jniLibs.srcDirs("$artefacts/android")
    }
    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_17
        targetCompatibility = JavaVersion.VERSION_17
    }
    publishing {
        singleVariant("release") { withSourcesJar() }
    }
}

kotlin {
    compilerOptions {
        jvmTarget = JvmTarget.JVM_17
        allWarningsAsErrors = true
    }
}

dependencies {
    api("org.jetbrains.kotlinx:kotlinx-coroutines-core:1.11.0")
    // As an AAR: the jar has no libraries for Android.
    implementation("net.java.dev.jna:jna:5.19.1@aar")
}

afterEvaluate {
    publishing.publications.register<MavenPublication>("release") { from(components["release"]) }
}
